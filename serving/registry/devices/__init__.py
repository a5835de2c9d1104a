"""What is announced to devices, and what they say of themselves."""
