"""Sensor Measurement Lists (RFC 8428): what devices, gateway and brokers say to one another.

``record`` says what a pack holds, ``parse`` and ``write`` are the way in and out, ``resolve``
applies base values, and ``json_form``, ``draft_form`` and ``cbor_form`` know one spelling each.
"""

from edge_client.senml.parse import parse
from edge_client.senml.record import CONTENT_TYPES, Form, Limits, Pack, Record, SenmlError, Value
from edge_client.senml.write import write

__all__ = [
    "CONTENT_TYPES",
    "Form",
    "Limits",
    "Pack",
    "Record",
    "SenmlError",
    "Value",
    "parse",
    "write",
]
