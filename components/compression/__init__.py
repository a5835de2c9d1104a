"""Compression: recipes of small steps from a trained model to candidate files."""
