"""When the small model asks the big one, and what becomes of the two answers."""
