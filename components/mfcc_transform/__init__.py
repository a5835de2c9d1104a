"""MfccTransform: clips to features, by the device's own front end."""
