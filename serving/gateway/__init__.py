"""The gateway: speaks SenML to clients and TensorFlow Serving's REST interface to the big model.

::

    device ── SenML over HTTP ──> gateway ── predict, a batch at a time ──> TensorFlow Serving

``POST`` or ``PUT`` to ``/v1/classify``, ``/big_model`` or ``/slow_model`` takes one recording, in
any of the payloads of :mod:`edge_client.payload`, and answers with a label and probabilities.
``GET /v1/description`` says what the big model takes, ``/healthz`` whether it is there, and
``/metrics`` how it goes. docs/adr/0006-gateway.md says why it stands where it stands.

- ``app`` is the HTTP face; ``body``, ``auth`` and ``answers`` are what it is made of.
- ``admission`` turns a body into what the model is asked; it refuses all the model would refuse.
- ``batching`` gathers questions while the model is busy, and refuses them beyond a bound.
- ``tensorflow_serving`` asks; ``big`` knows which model is there at the moment.
- ``slow`` answers from a device's bundle instead.
- ``server``, ``launcher`` and ``__main__`` run it; ``benchmark`` measures it.
"""
