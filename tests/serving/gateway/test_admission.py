"""What reaches the model: anything a client may send is a question or one error."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_client.audio import to_float
from edge_client.errors import EdgeError
from edge_client.payload import Recording, encode_recording
from edge_client.senml import Form
from serving.gateway.admission import Question, big_question
from serving.gateway.big import BigModel
from serving.gateway.errors import GatewayError
from tests.serving.gateway.clips import clip, course_body

MODEL = BigModel(1, ("a", "b"), None)
FORMS = (None, Form.JSON, Form.CBOR)


@given(st.binary(max_size=300), st.sampled_from(FORMS))
def test_any_bytes_are_a_question_or_one_error(content, form):
    try:
        asked = big_question(content, form, MODEL)
    except (EdgeError, GatewayError):
        return
    assert len(asked.question.data) == 2 * MODEL.samples


@given(
    st.lists(
        st.fixed_dictionaries(
            {"n": st.sampled_from(["audio", "rate", "specification", "features.int8"])},
            optional={
                "u": st.sampled_from(["int16", "float32", "Hz", ""]),
                "v": st.one_of(st.floats(), st.integers()),
                "vd": st.sampled_from(["", "AAAA", "AAAAAA", "AACAPw", "AADAfw", "*"]),
                "vs": st.text(max_size=20),
            },
        ),
        max_size=4,
    )
)
def test_any_pack_is_a_question_or_one_error(records):
    try:
        asked = big_question(json.dumps(records).encode(), None, MODEL)
    except (EdgeError, GatewayError):
        return
    assert len(asked.question.data) == 2 * MODEL.samples


@pytest.mark.parametrize("payload", ["pcm-json", "pcm-cbor", "pcm-draft", "flac-json", "flac-cbor"])
def test_sixteen_bits_arrive_bit_by_bit(payload):
    content = encode_recording(Recording(clip(3), source="pi/"), payload)
    asked = big_question(content, None, MODEL)
    assert asked.question == Question(clip(3).astype("<i2").tobytes())


def test_floats_arrive_as_the_nearest_sixteen_bits():
    audio = to_float(clip(3)) + np.float32(0.4 * 2**-15)
    content = json.dumps(course_body(audio)).encode()
    assert big_question(content, None, MODEL).question.data == clip(3).astype("<i2").tobytes()


@pytest.mark.parametrize(("rate", "samples"), [(8000, 8000), (48_000, 48_000), (16_000, 20_000)])
def test_other_rates_and_lengths_become_the_models_clip(rate, samples):
    audio = (3000 * np.sin(2 * np.pi * 440 * np.arange(samples) / rate)).astype(np.int16)
    content = encode_recording(Recording(audio, rate, source="pi/"), "pcm-cbor")
    heard = np.frombuffer(big_question(content, None, MODEL).question.data, "<i2")
    assert heard.shape == (16_000,)
    loudest_hz = np.abs(np.fft.rfft(heard)).argmax()
    assert abs(int(loudest_hz) - 440) <= 1
