"""What can be tested of a microphone without one."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from edge_client.microphone import Microphone, MicrophoneError, clips, rms
from tests.edge_client.tiny import tone

BLOCK = 800  # 50 ms at 16 kHz
QUIET = np.full(BLOCK, 30, np.int16)


def blocks(*parts):
    return list(np.concatenate(parts).reshape(-1, BLOCK))


def test_silence_makes_no_clips():
    assert list(clips([QUIET] * 100, 16000, 0.01)) == []


def test_a_clip_begins_shortly_before_the_sound():
    word = tone(440, seconds=0.4, level=0.3)
    quiet = np.full(16000, 30, np.int16)
    (clip,) = clips(blocks(quiet, word, quiet, quiet), 16000, 0.01)
    assert clip.dtype == np.int16
    assert clip.shape == (16000,)
    begins = 4 * BLOCK
    assert (clip[:begins] == 30).all()
    np.testing.assert_array_equal(clip[begins : begins + len(word)], word)


def test_sound_without_end_is_cut_into_whole_clips_that_do_not_overlap():
    sound = np.arange(16000 * 3, dtype=np.int64).astype(np.int16) | np.int16(0x1000)
    heard = list(clips(blocks(sound), 16000, 0.0))
    assert len(heard) == 3
    np.testing.assert_array_equal(np.concatenate(heard), sound)


def test_clips_need_not_be_whole_blocks():
    heard = list(clips(blocks(tone(440, seconds=2)), 10_100, 0.01))
    assert [len(clip) for clip in heard] == [10_100] * 3


def test_while_nothing_comes_the_listener_is_told_so():
    loud = tone(440, seconds=1)
    given = [None, *blocks(loud)[:10], None, *blocks(loud)[10:], None]
    heard = list(clips(given, 16000, 0.01))
    assert [clip is None for clip in heard] == [True, True, False, True]


def test_rms_is_of_full_scale():
    assert rms(np.full(100, -(2**15), np.int16)) == 1
    assert rms(tone(400, level=0.5)) == pytest.approx(0.5 / np.sqrt(2), rel=1e-3)


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
