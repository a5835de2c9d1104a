"""All that runs on a device: features, inference, bundles, asking a big model, cooperation."""
