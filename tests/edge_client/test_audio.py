from __future__ import annotations

import contextlib
import os
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_client.audio import MAX_WAV_BYTES, WavError, fit_clip, loudest, read_wav, to_float, to_pcm
from tests.edge_client.tiny import tone, wav


def chunk(kind, body):
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def riff(*chunks):
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def fmt(tag=1, channels=1, rate=16000, bits=16, align=None, extra=b""):
    align = channels * bits // 8 if align is None else align
    head = struct.pack("<HHIIHH", tag, channels, rate, rate * align, align, bits)
    return chunk(b"fmt ", head + extra)


def extensible(subformat):
    guid = struct.pack("<H", subformat) + bytes.fromhex("000000001000800000aa00389b71")
    return fmt(0xFFFE, extra=struct.pack("<HHI", 22, 16, 4) + guid)


SAMPLES = np.array([1, -2, 3, 32767, -32768, 0], np.int16)


@given(
    st.lists(st.integers(-(2**15), 2**15 - 1), min_size=1, max_size=50),
    st.integers(1, 5),
    st.sampled_from([1000, 5512, 8000, 11_025, 22_050, 37_800, 44_100, 48_000, 384_000]),
)
def test_what_is_written_is_read(values, channels, rate):
    audio = np.resize(np.array(values, np.int16), (len(values), channels))
    read, read_rate = read_wav(wav(audio, rate))
    assert read_rate == rate
    assert read.dtype == np.int16
    np.testing.assert_array_equal(read, audio)


def test_reads_from_a_path(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav(SAMPLES))
    np.testing.assert_array_equal(read_wav(tmp_path / "a.wav")[0][:, 0], SAMPLES)


def test_extensible_pcm_and_chunks_of_others_are_read():
    data = riff(
        chunk(b"LIST", b"odd"), extensible(1), chunk(b"fact", b"1234"), chunk(b"data", b"\1\0\2\0")
    )
    np.testing.assert_array_equal(read_wav(data)[0], [[1], [2]])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty file"),
        (b"ID3 no wav at all", "not a WAV"),
        (wav(SAMPLES)[:-3], "truncated: the chunk 'data' says 12 bytes and 9 follow"),
        (wav(SAMPLES)[:30], "truncated: the chunk 'fmt '"),
        (wav(SAMPLES)[:40], "no audio in it"),
        (riff(fmt(3, bits=32), chunk(b"data", b"\0" * 8)), "32-bit float; convert it to 16-bit"),
        (riff(fmt(bits=8), chunk(b"data", b"\0" * 8)), "8-bit PCM"),
        (riff(fmt(bits=24), chunk(b"data", b"\0" * 6)), "24-bit PCM"),
        (riff(fmt(bits=32), chunk(b"data", b"\0" * 8)), "32-bit PCM"),
        (riff(fmt(0x55), chunk(b"data", b"\0" * 8)), "format 0x0055"),
        (riff(extensible(3), chunk(b"data", b"\0" * 8)), "16-bit float"),
        (riff(fmt(), chunk(b"data", b"")), "0 samples"),
        (riff(fmt(channels=2), chunk(b"data", b"\0" * 6)), "not whole samples of 2"),
        (riff(fmt(channels=0), chunk(b"data", b"\0" * 6)), "0 channels"),
        (riff(fmt(align=3), chunk(b"data", b"\0" * 6)), "blocks of 3"),
        (riff(fmt(rate=7), chunk(b"data", b"\0" * 6)), "rate of 7 Hz"),
        (riff(fmt(rate=47_999), chunk(b"data", b"\0" * 6)), "47999 Hz, too crooked to resample"),
        (riff(chunk(b"data", b"\0\0"), fmt()), "before its format"),
        (riff(fmt()), "no data chunk"),
        (riff(chunk(b"fmt ", b"\1\0"), chunk(b"data", b"\0\0")), "2 bytes, not 16"),
        (riff(fmt(), b"data" + struct.pack("<I", 2**32 - 1) + b"\0\0"), "says 4294967295 bytes"),
        (b"RIFF\0\0\0\0WAVE" + b"\0" * (MAX_WAV_BYTES), "larger than"),
        (riff(*[chunk(b"junk", b"")] * 2000), "no data chunk"),
    ],
)
def test_what_is_no_wav_is_named(data, message):
    with pytest.raises(WavError) as caught:
        read_wav(data, "x.wav")
    assert message in str(caught.value)
    assert str(caught.value).startswith("x.wav: ")
    assert "\n" not in str(caught.value)


def test_paths_that_lead_to_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, message in (
        ("none.wav", "no such file"),
        (".", "not a file"),
        ("pipe", "not a file"),
        ("x" * 5000, "File name too long"),
    ):
        with pytest.raises(WavError, match=message):
            read_wav(tmp_path / name)


@settings(max_examples=300)
@given(st.data())
def test_damage_gives_audio_or_the_named_error(data):
    whole = bytearray(wav(np.resize(SAMPLES, (6, 2)), 44100))
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=6)):
        whole[place] ^= 1 << data.draw(st.integers(0, 7))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        audio, rate = read_wav(cut)
    except WavError:
        return
    assert audio.dtype == np.int16
    assert audio.size
    assert rate


@given(st.binary(max_size=200))
def test_arbitrary_bytes_after_a_header_give_audio_or_the_named_error(body):
    with contextlib.suppress(WavError):
        read_wav(b"RIFF\0\0\0\0WAVE" + body)


@given(st.lists(st.integers(-(2**15), 2**15 - 1), min_size=100, max_size=100))
def test_mono_of_the_wanted_rate_comes_back_bit_by_bit(values):
    audio = np.array(values, np.int16)
    np.testing.assert_array_equal(fit_clip(audio, 16000, 16000, 100), audio)
    np.testing.assert_array_equal(to_pcm(to_float(audio)), audio)


def test_short_clips_end_in_zeros():
    clip = fit_clip(SAMPLES, 16000, 16000, 10)
    np.testing.assert_array_equal(clip, [*SAMPLES, 0, 0, 0, 0])


def test_channels_are_averaged():
    stereo = np.array([[100, 300], [-200, 0]], np.int16)
    np.testing.assert_array_equal(fit_clip(stereo, 16000, 16000, 2), [200, -100])


def test_long_recordings_are_cut_around_the_loudest_stretch():
    recording = np.concatenate(
        [tone(500, level=0.01), tone(500, seconds=0.6, level=0.9), tone(500, level=0.02)]
    )
    clip = fit_clip(recording, 16000, 16000, 16000)
    # All of the loud part is in it, and the rest comes from the louder side.
    assert np.square(clip / 32768).sum() >= np.square(recording[16000:25600] / 32768).sum()
    np.testing.assert_array_equal(clip[:9600], recording[16000:25600])


@given(st.integers(1, 40), st.lists(st.integers(-100, 100), min_size=1, max_size=40))
def test_no_stretch_is_louder_than_the_loudest(samples, values):
    audio = np.array(values, np.float32)
    found = loudest(audio, samples)
    assert len(found) == min(samples, len(audio))
    every = [np.square(audio[i : i + samples]).sum() for i in range(len(audio) - len(found) + 1)]
    assert np.square(found).sum() == pytest.approx(max(every))


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_a_tone_survives_resampling(rate):
    clip = to_float(fit_clip(tone(1000, rate, 1.0, 0.5), rate, 16000, 16000))
    wanted = to_float(tone(1000, 16000, 1.0, 0.5))
    middle = slice(1000, -1000)  # the filter has nothing to work with beyond the ends
    assert np.abs(clip[middle] - wanted[middle]).max() < 0.01


def test_what_lies_above_half_the_wanted_rate_does_not_fold_back():
    clip = to_float(fit_clip(tone(11_000, 44100, 1.0, 0.9), 44100, 16000, 16000))
    assert np.abs(clip[1000:-1000]).max() < 0.01


def test_resampled_clips_are_as_long_as_wanted():
    for rate in (1000, 7919, 44100, 191_999):
        for seconds in (0.3, 1.0, 1.7):
            assert fit_clip(tone(200, rate, seconds), rate, 16000, 16000).shape == (16000,)
