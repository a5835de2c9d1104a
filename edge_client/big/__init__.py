"""The big model as a device sees it: what it is, and how it is asked."""
