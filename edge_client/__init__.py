"""All that runs on a device: features, inference and the bundles they come in."""
