"""Our reader of TFRecords takes what TensorFlow writes, and nothing that is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf

from components.errors import InputError
from components.tfrecords import read_tfrecords, tfrecord_writer

RECORDS = [b"", b"a", bytes(range(256)) * 200]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "train-00000-of-00001"
    with tfrecord_writer(target) as writer:
        for record in RECORDS:
            writer.write(record)
    return target


def test_what_is_written_is_read(path: Path):
    assert list(read_tfrecords(path)) == RECORDS
    assert list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator()) == RECORDS


def test_a_file_cut_anywhere_is_refused(path: Path):
    whole = path.read_bytes()
    ends = {0, 16, 33}  # after whole records nothing tells that more were to come
    for size in [*range(1, 60), len(whole) - 1]:
        path.write_bytes(whole[:size])
        if size in ends:
            assert list(read_tfrecords(path)) == RECORDS[: sorted(ends).index(size)]
        else:
            with pytest.raises(InputError, match="truncated or damaged"):
                list(read_tfrecords(path))


@pytest.mark.parametrize("position", [0, 8, 12, 28, 60, -1])
def test_a_flipped_bit_is_found(path: Path, position: int):
    damaged = bytearray(path.read_bytes())
    damaged[position] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(InputError, match=f"{path.name}: truncated or damaged"):
        list(read_tfrecords(path))


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(InputError, match="none: cannot be read"):
        list(read_tfrecords(tmp_path / "none"))


def test_a_writer_that_fails_leaves_what_was_there(path: Path):
    def write_half() -> None:
        with tfrecord_writer(path) as writer:
            writer.write(b"new")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_half()
    assert list(read_tfrecords(path)) == RECORDS
    assert [p.name for p in path.parent.iterdir()] == [path.name]
