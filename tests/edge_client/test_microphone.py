"""What can be tested of a microphone without one."""

from __future__ import annotations

import sys
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest

from edge_client.microphone import Microphone, MicrophoneError, clips, rms
from tests.edge_client.tiny import tone

BLOCK = 800  # 50 ms at 16 kHz
QUIET = np.full(BLOCK, 30, np.int16)


def blocks(*parts):
    return list(np.concatenate(parts).reshape(-1, BLOCK))


def whole(heard):
    return [clip for clip in heard if clip is not None]


def test_silence_makes_no_clips_but_lets_others_at_it():
    assert list(clips([QUIET] * 100, 16000, 0.01)) == [None] * 100


def test_a_clip_begins_shortly_before_the_sound():
    word = tone(440, seconds=0.4, level=0.3)
    quiet = np.full(16000, 30, np.int16)
    (clip,) = whole(clips(blocks(quiet, word, quiet, quiet), 16000, 0.01))
    assert clip.dtype == np.int16
    assert clip.shape == (16000,)
    begins = 4 * BLOCK
    assert (clip[:begins] == 30).all()
    np.testing.assert_array_equal(clip[begins : begins + len(word)], word)


def test_sound_without_end_is_cut_into_whole_clips_that_do_not_overlap():
    sound = np.arange(16000 * 3, dtype=np.int64).astype(np.int16) | np.int16(0x1000)
    heard = whole(clips(blocks(sound), 16000, 0.0))
    assert len(heard) == 3
    np.testing.assert_array_equal(np.concatenate(heard), sound)


def test_clips_need_not_be_whole_blocks():
    heard = whole(clips(blocks(tone(440, seconds=2)), 10_100, 0.01))
    assert [len(clip) for clip in heard] == [10_100] * 3


def test_while_nothing_comes_the_listener_is_told_so():
    loud = tone(440, seconds=1)
    given = [None, *blocks(loud)[:10], None, *blocks(loud)[10:], None]
    heard = list(clips(given, 16000, 0.01))
    assert len(heard) == len(given)
    assert [i for i, clip in enumerate(heard) if clip is not None] == [1 + 10 + 1 + 9]


def test_rms_is_of_full_scale():
    assert rms(np.full(100, -(2**15), np.int16)) == 1
    assert rms(tone(400, level=0.5)) == pytest.approx(0.5 / np.sqrt(2), rel=1e-3)


class Stream:
    """A sound device whose every block is one that the test hands over."""

    def __init__(self, callback, **_):
        self.callback = callback

    def start(self):
        pass

    close = start

    def hear(self, overflow=False):
        status = SimpleNamespace(input_overflow=overflow)
        self.callback(QUIET.tobytes(), BLOCK, None, status)


@pytest.fixture
def microphone(monkeypatch):
    device = SimpleNamespace(RawInputStream=Stream, PortAudioError=OSError)
    monkeypatch.setitem(sys.modules, "sounddevice", device)
    with Microphone(16000) as made:
        yield made


def test_lost_sound_is_counted(microphone):
    for _ in range(10 * 20):
        microphone._stream.hear()
    assert microphone.lost == 0
    microphone._stream.hear()  # ours is full
    assert microphone.lost == 1
    next(microphone.blocks())
    microphone._stream.hear(overflow=True)  # PortAudio's was
    assert microphone.lost == 2


def test_a_microphone_that_falls_silent_for_good_is_an_error(microphone, monkeypatch):
    monkeypatch.setattr("edge_client.microphone._PATIENCE_S", 0.15)
    blocks = microphone.blocks()
    for _ in range(3):  # each block begins the wait anew
        microphone._stream.hear()
        assert next(blocks) is not None
        assert next(blocks) is None
    with pytest.raises(MicrophoneError, match=r"no sound for 0\.15 seconds"):
        list(islice(blocks, 100))


def test_without_sounddevice_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)  # as if it were not installed
    with pytest.raises(MicrophoneError, match=r'pip install "ml4iot-edge\[microphone\]"'):
        Microphone(16000)


def test_without_portaudio_one_line_says_what_to_install(monkeypatch, tmp_path):
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    with pytest.raises(MicrophoneError, match="libportaudio2"):
        Microphone(16000)
