"""The DAGs: one file each, read top to bottom in the order data flows."""
