"""What the registry answers over HTTP, and to whom."""
