"""What is on the disk: two slots for each model, and what became of its versions."""
