"""Bodies as clients send them."""

from __future__ import annotations

import base64
import time
from typing import Any

import numpy as np

from edge_client.payload import Recording, encode_recording

SAMPLES = 16_000


def clip(first_byte: int) -> np.ndarray:
    """Quiet noise whose first byte is given: the backend of these tests goes by that."""
    noise = np.random.default_rng(first_byte).integers(-90, 90, SAMPLES).astype(np.int16)
    noise[0] = first_byte
    return noise


def body(first_byte: int = 1) -> bytes:
    """A clip as RFC 8428 has it."""
    return encode_recording(Recording(clip(first_byte), source="pi/"), "pcm-json")


def course_body(audio: np.ndarray) -> dict[str, Any]:
    """What the coursework's client sends: the draft form, standard base64."""
    text = base64.b64encode(audio.astype(audio.dtype.newbyteorder("<")).tobytes()).decode("ascii")
    event = {"n": "audio", "u": "/", "t": 0, "vd": text}
    return {"bn": "raspberrypi.local", "bt": int(time.time()), "e": [event]}
