"""The MQTT broker: one that lets anybody in, and the operator's, which does not.

``local`` runs the first, for tests, the demo and a room of devices (``python -m serving.broker``).
The operator's is a folder made by ``ml4iot-broker init``:

- ``folder`` is what lies in it, ``users`` who may log in, ``passwords`` how Mosquitto keeps them;
- ``rights`` says who may write and read which topics;
- ``authority`` is the private CA and the broker's certificate; ``expiry`` says when they end;
- ``configuration`` is what Mosquitto reads; ``running`` runs it, or where there is no Mosquitto
  ``embedded`` with ``embedded_rights``;
- ``command`` is ``ml4iot-broker``.
"""

from serving.broker.local import BACKENDS, RunningBroker, find_mosquitto, start_broker

__all__ = ["BACKENDS", "RunningBroker", "find_mosquitto", "start_broker"]
