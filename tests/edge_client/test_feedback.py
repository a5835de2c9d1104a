from __future__ import annotations

import stat
import subprocess
import sys

import numpy as np
import pytest

from edge_client.audio import read_wav
from edge_client.errors import EdgeError
from edge_client.feedback import Feedback, host_name
from tests.edge_client.tiny import EXAMPLES, LABELS

CLIP = EXAMPLES["high"]
SIZE = 44 + 2 * len(CLIP)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_clips_are_kept_by_label_and_private(tmp_path):
    folder = tmp_path / "inner" / "kept"
    feedback = Feedback(folder, LABELS)
    first = feedback.keep(CLIP, 16000, "low", "8012c69d")
    second = feedback.keep(CLIP, 16000, "high", None)
    assert first == folder / "low" / "8012c69d_overruled_0.wav"
    assert second == folder / "high" / f"{host_name()}_overruled_1.wav"
    audio, rate = read_wav(first)
    np.testing.assert_array_equal(audio[:, 0], CLIP)
    assert rate == 16000
    assert [mode(p) for p in (folder, folder / "low", first)] == [0o700, 0o700, 0o600]
    assert sorted(p.name for p in folder.rglob("*.wav*")) == sorted([first.name, second.name])
    assert (feedback.kept, feedback.refused) == (2, 0)


def test_a_folder_that_was_open_is_closed(tmp_path):
    tmp_path.chmod(0o755)
    Feedback(tmp_path, LABELS)
    assert mode(tmp_path) == 0o700


def test_a_later_run_goes_on_where_the_earlier_stopped(tmp_path):
    Feedback(tmp_path, LABELS).keep(CLIP, 16000, "low", "a")
    later = Feedback(tmp_path, LABELS, max_bytes=2 * SIZE)
    assert later.keep(CLIP, 16000, "low", "a").name == "a_overruled_1.wav"
    assert later.keep(CLIP, 16000, "low", "a") is None
    assert (later.kept, later.refused) == (1, 1)


def test_bytes_are_bounded_and_nothing_old_disappears(tmp_path):
    feedback = Feedback(tmp_path, LABELS, max_bytes=3 * SIZE + 10)
    kept = [feedback.keep(CLIP, 16000, "low", "a") for _ in range(5)]
    assert kept[3:] == [None, None]
    assert all(path.is_file() for path in kept[:3])
    assert feedback.refused == 2
    assert Feedback(tmp_path / "none", LABELS, max_bytes=0).keep(CLIP, 16000, "low", "a") is None


def test_clips_are_bounded_however_short(tmp_path, monkeypatch):
    monkeypatch.setattr("edge_client.feedback.MAX_CLIPS", 2)
    feedback = Feedback(tmp_path, LABELS)
    kept = [feedback.keep(CLIP[:10], 16000, "low", "a") for _ in range(3)]
    assert [path is None for path in kept] == [False, False, True]
    assert feedback.refused == 1


def test_two_processes_do_not_overwrite_one_another(tmp_path):
    one, other = Feedback(tmp_path, LABELS), Feedback(tmp_path, LABELS)
    paths = [each.keep(CLIP, 16000, "low", "a") for each in (one, other, one, other)]
    assert len(set(paths)) == 4


KEEP = """
import sys
from pathlib import Path
import numpy as np
from edge_client.feedback import Feedback
feedback = Feedback(Path(sys.argv[1]), ["low"], int(sys.argv[2]))
print(flush=True)
input()
for _ in range(20):
    feedback.keep(np.zeros(16000, np.int16), 16000, "low", "a")
print(feedback.kept, feedback.refused)
"""


def test_the_bound_is_of_all_processes_together(tmp_path):
    command = [sys.executable, "-c", KEEP, str(tmp_path), str(15 * SIZE)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    running = [subprocess.Popen(command, **pipes) for _ in range(3)]
    for each in running:
        each.stdout.readline()
    for each in running:  # all are ready
        each.stdin.write("\n")
        each.stdin.flush()
    counts = [tuple(map(int, each.communicate(timeout=60)[0].split())) for each in running]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.stat().st_size for path in files] == [SIZE] * 15
    assert [sum(column) for column in zip(*counts, strict=True)] == [15, 45]


def test_what_a_power_cut_left_is_written_over(tmp_path):
    (tmp_path / "low").mkdir()
    (tmp_path / "low" / ".part").write_bytes(b"x" * 3 * SIZE)
    path = Feedback(tmp_path, LABELS).keep(CLIP, 16000, "low", "a")
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]
    assert path.stat().st_size == SIZE


@pytest.mark.parametrize("speaker", ["", "../x", "a/b", "a b", "x" * 100, "ü"])
def test_speakers_that_are_no_names_become_the_host(tmp_path, speaker):
    path = Feedback(tmp_path, LABELS).keep(CLIP, 16000, "low", speaker)
    assert path.name.startswith(f"{host_name()}_overruled_")


@pytest.mark.parametrize("label", ["..", "a/b", ".hidden", ""])
def test_labels_that_are_no_folders_are_refused_at_the_start(tmp_path, label):
    with pytest.raises(EdgeError, match="no name of a folder"):
        Feedback(tmp_path, ["low", label])


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EdgeError, match="clips cannot be kept here"):
        Feedback(tmp_path / "file", LABELS)


def test_a_disk_that_refuses_is_counted(tmp_path):
    feedback = Feedback(tmp_path, LABELS)
    (tmp_path / "low").write_text("a file where a folder should be")
    assert feedback.keep(CLIP, 16000, "low", "a") is None
    assert feedback.refused == 1
