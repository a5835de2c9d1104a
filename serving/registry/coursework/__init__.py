"""Plain models of the coursework's clients: kept, tried apart, monitored with."""
