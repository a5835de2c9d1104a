"""One client of an MQTT broker: what decides together, updates and monitoring speak through."""
