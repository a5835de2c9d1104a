"""One channel moved over a fleet in groups, and taken back."""
