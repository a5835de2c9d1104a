"""The server side at run time: TensorFlow Serving or its stand-in, the gateway, an MQTT broker."""
