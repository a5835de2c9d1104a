"""The TUF repository in its folder: signed metadata, bundles, keys, and every change to them."""
