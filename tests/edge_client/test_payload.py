from __future__ import annotations

import base64
import io
import json
import sys
import zipfile
import zlib

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_client.audio import fit_clip, read_wav, to_float, to_pcm
from edge_client.errors import EdgeError
from edge_client.payload import (
    MAX_FEATURES,
    MAX_SAMPLES,
    PAYLOADS,
    PayloadError,
    QuantisedFeatures,
    Recording,
    content_type,
    decode,
    encode_features,
    encode_recording,
    quantise,
)
from edge_client.senml import Form, Pack, Record, SenmlError, parse, write
from tests.edge_client.tiny import tone, wav

HASH = "0123456789abcdef"
SOURCE = "http://192.168.1.92/"
CLIP = tone(440)
AUDIO_PAYLOADS = [name for name in PAYLOADS if not name.startswith("features")]
FEATURE_PAYLOADS = [name for name in PAYLOADS if name.startswith("features")]

CLIPS = st.binary(min_size=2, max_size=400).map(lambda b: np.frombuffer(b[: len(b) & ~1], "<i2"))
TIMES = st.just(0.0) | st.integers(2**28, 2**34).map(float)
SOURCES = st.sampled_from(["", SOURCE, "urn:dev:mac:0024befffe804ff1:", "camera-1", "audio", "a/b"])


def pack(*records, form=Form.JSON):
    return Pack(form, records)


def flac(audio, rate=16000, **options):
    file = io.BytesIO()
    soundfile.write(file, audio, rate, format="FLAC", **options)
    return file.getvalue()


def refused(*records, form=Form.JSON):
    with pytest.raises(PayloadError) as caught:
        decode(pack(*records, form=form))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("payload", AUDIO_PAYLOADS)
@settings(max_examples=50)
@given(audio=CLIPS, rate=st.sampled_from([8000, 16000, 48000]), time=TIMES, source=SOURCES)
def test_a_recording_arrives_bit_by_bit(payload, audio, rate, time, source):
    got = decode(parse(encode_recording(Recording(audio, rate, time, source), payload)))
    assert isinstance(got, Recording)
    np.testing.assert_array_equal(got.audio, audio)
    assert got.audio.dtype == np.int16
    assert (got.rate, got.time, got.source) == (rate, time, source)


@pytest.mark.parametrize("payload", ["pcm-json", "pcm-cbor", "pcm-draft"])
def test_float_audio_arrives_as_it_is(payload):
    audio = to_float(tone(300))
    got = decode(parse(encode_recording(Recording(audio), payload)))
    np.testing.assert_array_equal(got.audio, audio)
    assert got.audio.dtype == np.float32


def test_float_audio_is_rounded_for_flac():
    audio = to_float(tone(300))
    got = decode(parse(encode_recording(Recording(audio), "flac-cbor")))
    np.testing.assert_array_equal(got.audio, to_pcm(audio))


@pytest.mark.parametrize("payload", FEATURE_PAYLOADS)
def test_features_arrive_in_whole_steps(payload):
    features = np.random.default_rng(1).normal(size=(49, 40)).astype(np.float32)
    body = encode_features(features, 0.125, HASH, payload, SOURCE, 1.7e9)
    wanted = quantise(features, 0.125)
    assert decode(parse(body)) == QuantisedFeatures(wanted.tobytes(), HASH, 1.7e9, SOURCE)
    assert np.abs(wanted * 0.125 - features).max() <= 0.0625


def test_steps_saturate_and_round_to_even():
    values = np.array([-1e9, -16.1, -0.5, 0.5, 1.5, 2.5, 126.6, 1e9], np.float32)
    np.testing.assert_array_equal(quantise(values, 1.0), [-128, -16, 0, 0, 2, 2, 127, 127])


def test_payloads_shrink_from_compatible_to_features():
    clip = Recording(CLIP, time=1.7e9, source=SOURCE)
    sizes = [len(encode_recording(clip, f"{name}")) for name in ("pcm-draft", "pcm-cbor")]
    assert 42_667 < sizes[0] < 42_800
    assert 32_000 < sizes[1] < 32_100
    assert len(encode_recording(clip, "flac-cbor")) < sizes[1]


def test_flac_of_real_clips_is_lossless_and_smaller(data_folder):
    sizes = []
    with zipfile.ZipFile(data_folder / "mini_speech_commands.zip") as archive:
        names = [n for n in archive.namelist() if n.endswith("_nohash_0.wav")][::200]
        recordings = [read_wav(archive.read(name), name) for name in names]
    for audio, rate in recordings:
        clip = fit_clip(audio, rate, 16000, 16000)
        body = encode_recording(Recording(clip), "flac-cbor")
        np.testing.assert_array_equal(decode(parse(body)).audio, clip)
        sizes.append(len(body))
    assert np.mean(sizes) < 20_000


def test_content_types():
    assert [content_type(name) for name in ("pcm-json", "flac-cbor", "pcm-draft")] == [
        "application/senml+json",
        "application/senml+cbor",
        "application/json",
    ]
    with pytest.raises(PayloadError, match="'opus-json' where one of pcm-json, "):
        content_type("opus-json")


@pytest.mark.parametrize("payload", ["features-json", "flac-draft", "pcm", "pcm-xml", ""])
def test_a_payload_that_carries_no_recording(payload):
    with pytest.raises(PayloadError, match="where one of pcm-json, pcm-cbor, pcm-draft, flac"):
        encode_recording(Recording(CLIP), payload)


@pytest.mark.parametrize("payload", ["pcm-json", "features-draft"])
def test_a_payload_that_carries_no_features(payload):
    with pytest.raises(PayloadError, match="where one of features-json, features-cbor"):
        encode_features(np.zeros((2, 2), np.float32), 0.1, HASH, payload)


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros(0, np.int16), "0 samples"),
        (np.zeros(MAX_SAMPLES + 1, np.int16), f"{MAX_SAMPLES + 1} samples"),
        (np.zeros((4, 2), np.int16), "mono"),
        (np.zeros(4, np.float64), "float64"),
        (np.array([0, np.nan], np.float32), "reaches nan"),
        (np.array([0, np.inf], np.float32), "reaches inf"),
        (np.array([0, 3000], np.float32), "reaches 3000"),
    ],
)
@pytest.mark.parametrize("payload", ["pcm-json", "flac-cbor"])
def test_audio_that_is_not_sent(audio, message, payload):
    with pytest.raises(PayloadError, match=message):
        encode_recording(Recording(audio), payload)


def test_a_rate_that_flac_does_not_know():
    with pytest.raises(EdgeError, match="-5 Hz cannot be written as FLAC"):
        encode_recording(Recording(CLIP, -5), "flac-json")


def test_a_source_that_senml_does_not_allow():
    with pytest.raises(SenmlError, match="name"):
        encode_recording(Recording(CLIP, source="my pi/"), "pcm-json")
    assert decode(parse(encode_recording(Recording(CLIP, source="my pi/"), "pcm-draft")))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_not_sent(bad):
    for features in (np.array([[bad]], np.float32), np.zeros((0, 40), np.float32)):
        with pytest.raises(PayloadError, match="empty or not finite"):
            encode_features(features, 0.1, HASH, "features-cbor")
    with pytest.raises(PayloadError, match="16 hexadecimal digits"):
        encode_features(np.zeros((2, 2), np.float32), 0.1, HASH.upper(), "features-cbor")


def draft(data, **fields):
    body = {
        "bn": SOURCE,
        "bt": 1600000000,
        "e": [{"n": "audio", "u": "/", "t": 0, "vd": base64.b64encode(data).decode(), **fields}],
    }
    return parse(json.dumps(body).encode())


def test_a_stock_course_client():
    got = decode(draft(CLIP.tobytes()))
    np.testing.assert_array_equal(got.audio, CLIP)
    assert (got.rate, got.time, got.source) == (16000, 1.6e9, SOURCE)
    assert got.audio.dtype == np.int16
    # 32-bit float is told by its length.
    audio = to_float(tone(200))
    np.testing.assert_array_equal(decode(draft(audio.tobytes())).audio, audio)
    assert decode(draft(audio.tobytes(), n="clip7")).source == SOURCE
    assert decode(draft(audio[:8000].tobytes()), samples=8000).audio.dtype == np.float32


def test_a_wav_is_read_with_its_own_rate():
    got = decode(draft(wav(CLIP[:8000], 8000), n="x"))
    np.testing.assert_array_equal(got.audio, CLIP[:8000])
    assert got.rate == 8000
    stereo = np.stack([CLIP, CLIP // 3], axis=1)
    got = decode(draft(wav(stereo, 16000)))
    assert got.audio.shape == (16000,)
    np.testing.assert_array_equal(
        fit_clip(got.audio, 16000, 16000, 16000), fit_clip(stereo, 16000, 16000, 16000)
    )


@pytest.mark.parametrize("unit", ["int16", "i16"])
def test_a_unit_settles_what_the_length_would_not(unit):
    got = decode(pack(Record("audio", unit=unit, value=b"\1\0" * 7)))
    np.testing.assert_array_equal(got.audio, [1] * 7)
    # Two seconds of int16 are as long as one of float32.
    long = np.tile(CLIP, 2)
    assert len(decode(pack(Record("audio", unit=unit, value=long.tobytes()))).audio) == 32000


@pytest.mark.parametrize("unit", ["float32", "f32"])
def test_float_units(unit):
    value = np.array([0.5, -1], "<f4").tobytes()
    np.testing.assert_array_equal(
        decode(pack(Record("audio", unit=unit, value=value))).audio, [0.5, -1]
    )


def test_the_rate_beside_the_audio_of_the_same_source():
    audio = Record("pi/audio", unit="int16", value=b"\1\0")
    assert decode(pack(audio, Record("pi/rate", unit="Hz", value=8000.0))).rate == 8000
    assert decode(pack(audio, Record("heart/rate", unit="Hz", value=1.5))).rate == 16000


@pytest.mark.parametrize(
    ("data", "unit", "message"),
    [
        (b"", "", "0 samples"),
        (b"", "int16", "0 samples"),
        (b"\1", "int16", "1 bytes: not whole samples of int16"),
        (b"\1\2\3\4\5\6", "float32", "not whole samples of float32"),
        (b"\0" * 31_999, "", "31999 bytes is no clip of 16000 samples"),
        (b"\0" * 10_000, "/", "need the unit int16 or float32"),
        (b"\0" * (2 * MAX_SAMPLES + 2), "int16", "where 1 to 768000 are taken"),
        (b"\0" * 10_000_000, "i16", "5000000 samples"),
        (np.full(16000, np.nan, "<f4").tobytes(), "", "reaches nan"),
        (np.full(16000, np.inf, "<f4").tobytes(), "", "reaches inf"),
        (CLIP.astype("<f4").tobytes(), "", "reaches "),
        (b"RIFF\0\0\0\0WAVE", "", "no data chunk"),
        (wav(CLIP)[:-1], "int16", "truncated"),
        (wav(np.zeros(MAX_SAMPLES + 1, np.int16)), "", "768001 samples"),
    ],
)
@pytest.mark.parametrize("form", list(Form))
def test_audio_that_is_not_taken(data, unit, message, form):
    assert message in refused(Record("pi/audio", unit=unit, value=data), form=form)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "audio.flac: not FLAC"),
        (b"fLaC" + b"\0" * 100, "damaged FLAC"),
        (flac(CLIP)[:30], "damaged FLAC"),
        (wav(CLIP), "not FLAC"),
        (flac(np.stack([CLIP, CLIP], axis=1)), "2 channel(s)"),
        (flac(CLIP, subtype="PCM_24"), "PCM_24"),
        (flac(np.zeros(MAX_SAMPLES + 1, np.int16)), "768001 samples"),
        (flac(CLIP[:0]), "audio.flac: not FLAC"),
        (flac(CLIP, 500), "500 Hz; 1000 to 384000"),
        (flac(CLIP, 47_999), "47999 Hz, too crooked to resample"),
    ],
)
def test_flac_that_is_not_taken(data, message):
    assert message in refused(Record("audio.flac", value=data))


def test_flac_whose_header_promises_more_than_memory_holds():
    data = bytearray(flac(CLIP))
    data[21] |= 0x0F  # the 36 bits of STREAMINFO that count samples
    data[22:26] = b"\xff" * 4
    try:
        audio = decode(pack(Record("audio.flac", value=bytes(data)))).audio
    except PayloadError:
        return
    assert len(audio) <= MAX_SAMPLES


@settings(max_examples=200)
@given(st.data())
def test_damaged_flac_gives_audio_or_the_named_error(data):
    whole = bytearray(FLAC)
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=6)):
        whole[place] ^= 1 << data.draw(st.integers(0, 7))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        got = decode(pack(Record("audio.flac", value=cut)))
    except PayloadError:
        return
    assert got.audio.dtype == np.int16
    assert 0 < len(got.audio) <= MAX_SAMPLES


FLAC = flac(CLIP[:600])


@pytest.mark.parametrize("rate", [True, "16000", 7.0, 1e300, 16000.5, 383_999.0])
def test_rates_that_are_not_taken(rate):
    audio = Record("audio", unit="int16", value=b"\1\0")
    assert "Hz" in refused(audio, Record("rate", unit="Hz", value=rate))


def test_two_rates_that_differ():
    rate = Record("rate", unit="Hz", value=8000.0)
    assert "16000 Hz, the record beside it 8000" in refused(
        Record("audio.flac", value=flac(CLIP)), rate
    )
    assert "16000 Hz, the record beside it 8000" in refused(Record("audio", value=wav(CLIP)), rate)


FEATURES = Record("features.int8", value=zlib.compress(b"\1\2\3\4"))
SPECIFICATION = Record("specification", value=HASH)


def test_features_beside_their_specification():
    assert decode(pack(SPECIFICATION, FEATURES)).data == b"\1\2\3\4"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "cut short"),
        (b"\1\2\3", "not zlib"),
        (zlib.compress(b"\1\2\3")[:-1], "cut short"),
        (zlib.compress(b"\1\2\3") + b"\0", "bytes after it"),
        (zlib.compress(b""), "no features"),
        (zlib.compress(b"\0" * (MAX_FEATURES + 1)), "more than 4 MiB"),
        (zlib.compress(b"\0" * 2**28, 1), "more than 4 MiB"),
    ],
)
def test_features_that_are_not_taken(data, message):
    assert message in refused(Record("features.int8", value=data), SPECIFICATION)


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([FEATURES], "no record 'specification'"),
        ([FEATURES, Record("other/specification", value=HASH)], "no record 'specification'"),
        ([FEATURES, Record("specification", value="x")], "16 hexadecimal digits"),
        ([FEATURES, Record("specification", value=1.0)], "16 hexadecimal digits"),
        ([FEATURES, SPECIFICATION, Record("audio", value=b"\0\0")], "2 records with data"),
        ([Record("audio", value=b"\0\0"), Record("audio.flac", value=b"")], "2 records with data"),
        ([Record("audio", value="text")], "0 records with data"),
        ([SPECIFICATION], "0 records with data"),
        ([Record("pi/audio.opus", value=b"\0\0")], "pi/audio.opus: data of unknown kind"),
    ],
)
def test_packs_that_carry_no_clip(records, message):
    assert message in refused(*records)


def test_without_soundfile_flac_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(EdgeError, match=r'pip install "ml4iot-edge\[flac\]"'):
        encode_recording(Recording(CLIP), "flac-json")
    with pytest.raises(EdgeError, match=r'pip install "ml4iot-edge\[flac\]"'):
        decode(pack(Record("audio.flac", value=FLAC)))
    assert decode(parse(encode_recording(Recording(CLIP), "pcm-json")))


@settings(max_examples=200)
@given(
    st.sampled_from(["audio", "audio.flac", "features.int8", "x"]),
    st.sampled_from(["", "int16", "float32", "/"]),
    st.binary(max_size=70),
    st.sampled_from(list(Form)),
)
def test_any_data_gives_content_or_the_named_error(name, unit, data, form):
    body = write([Record(name, unit=unit, value=data), SPECIFICATION], form)
    try:
        got = decode(parse(body), samples=16)
    except PayloadError:
        return
    assert isinstance(got, Recording | QuantisedFeatures)
