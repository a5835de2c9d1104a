"""Sensor records: CSV files read in order of time, and the windows that span no gap."""

from __future__ import annotations

import csv
import io
import os
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_client.errors import EdgeError
from edge_client.features.spec import Quantity, RecordWindow
from edge_client.files import check_size, open_input

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

MAX_CSV_BYTES = 512 * 2**20
SENTINELS = (-9999.0, -99.0)  # what weather stations write where a sensor gave nothing
TIME_COLUMNS = ("date time", "time", "timestamp", "datetime", "date")
_NOTHING = {"", "nan", "na", "n/a", "null", "none", "-"}
_JENA_TIME = re.compile(r"\d\d\.\d\d\.\d{4} \d\d:\d\d(:\d\d)?", re.ASCII)
_UNIX_TIME = re.compile(r"\d{1,11}(\.\d*)?", re.ASCII)


class RecordsError(EdgeError):
    """A file of records that cannot be read; the message names column and line."""


@dataclass(frozen=True)
class Records:
    """Records in order of time, each time stamp once."""

    time: Int64  # [n] unix seconds; a time stamp without a zone counts as UTC
    values: Float32  # [n, quantities] in physical units, NaN where missing
    duplicates: int  # rows dropped because their time stamp was already there
    disordered: int  # rows right after a later one in the file
    missing: int  # values that were empty or a sentinel, after dropping duplicates

    def __len__(self) -> int:
        return len(self.time)

    def last(self, share: float) -> Records:
        """The last ``share`` (0 to 1) of the rows; counts are those of the whole file."""
        first = int(len(self) * (1 - share))
        return Records(
            self.time[first:], self.values[first:], self.duplicates, self.disordered, self.missing
        )


def read_records(
    source: Path | str | bytes,
    quantities: Sequence[Quantity],
    name: str | None = None,
    sentinels: Sequence[float] = SENTINELS,
) -> Records:
    """Reads a CSV with a header, plain or as the only CSV in a zip.

    Time stamps are ``dd.mm.yyyy hh:mm:ss`` (Jena), ISO 8601 or unix seconds, in a column called
    ``Date Time``, ``time``, ``timestamp``, ``datetime`` or ``date``.  A quantity is found by its
    column or, failing that, by its name.

    Args:
        source: a path, or the bytes of the file.
        quantities: the quantities wanted, which become the columns of the values.
        name: what error messages call the file; the path when left out.
        sentinels: values that mean "missing", besides empty cells and NaN.

    Raises:
        RecordsError: missing columns (named beside those present), a cell that is no number or
            no time (with its line), no rows, a damaged zip, or more than 512 MiB.
    """
    name = name or ("records" if isinstance(source, bytes) else str(source))
    try:
        with _open(source, name) as lines:
            times, cells = _read_columns(lines, quantities, name)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise RecordsError(f"{name}: damaged zip ({error}); copy the file again") from None
    except csv.Error as error:
        raise RecordsError(f"{name}: not a CSV ({error})") from None
    except OSError as error:
        raise RecordsError(f"{name}: cannot be read: {error.strerror or error}") from None
    time = np.array(times, np.int64)
    with np.errstate(over="ignore"):
        values = np.array(cells, np.float64).reshape(len(times), len(quantities))
        values[np.isin(values, np.asarray(sentinels, np.float64))] = np.nan
        numbers = values.astype(np.float32)
    numbers[np.isinf(numbers)] = np.nan
    order = np.argsort(time, kind="stable")  # stable: of duplicates the first in the file stays
    disordered = int(np.count_nonzero(np.diff(time) < 0))
    fresh = np.ones(len(time), bool)
    fresh[1:] = np.diff(time[order]) > 0
    kept = order[fresh]
    return Records(
        time=time[kept],
        values=numbers[kept],
        duplicates=len(time) - len(kept),
        disordered=disordered,
        missing=int(np.count_nonzero(np.isnan(numbers[kept]))),
    )


def window_starts(
    time: Int64, values: Float32, window: RecordWindow, steps: int | None = None
) -> Int64:
    """Where windows of consecutive records start, none of which spans a gap or a missing value.

    Two records are consecutive when they are ``interval_s`` apart, give or take half of it: real
    sensors are late by a little, and a record between two others is as wrong as a missing one.

    Args:
        time: ``[n]`` unix seconds, ascending.
        values: ``[n, quantities]``, NaN where missing.
        window: whose interval counts, and whose input and output steps when ``steps`` is left out.
        steps: records of one window.

    Returns:
        ``[windows]`` indices of the first record of each window, ascending.
    """
    steps = window.input_steps + window.output_steps if steps is None else steps
    count = len(time) - steps + 1
    if count < 1:
        return np.empty(0, np.int64)
    missing = ~np.isfinite(values).all(axis=1)
    gap = np.abs(np.diff(time) - window.interval_s) > window.interval_s / 2
    # Faults before each record; a window is whole when no fault lies between its ends.
    missing_before = np.concatenate(([0], np.cumsum(missing)))
    gaps_before = np.concatenate(([0], np.cumsum(gap)))
    start = np.arange(count)
    whole = (missing_before[start + steps] == missing_before[start]) & (
        gaps_before[start + steps - 1] == gaps_before[start]
    )
    return np.flatnonzero(whole).astype(np.int64)


@contextmanager
def _open(source: Path | str | bytes, name: str) -> Iterator[Iterable[str]]:
    """The lines of a CSV, of which a zip holds just one."""
    raw: io.BytesIO | io.BufferedReader
    if isinstance(source, bytes):
        raw = io.BytesIO(source)
    else:
        raw = open_input(Path(source), name, RecordsError)
    with raw:
        if raw.read(4) == b"PK\x03\x04":
            with _archive(raw, name) as archive:
                member = _only_csv(archive, name)
                check_size(member.file_size, MAX_CSV_BYTES, name, RecordsError)
                try:
                    content = archive.open(member)
                # A damaged directory sends zipfile to places that are not in the file.
                except (NotImplementedError, RuntimeError, ValueError) as error:
                    raise RecordsError(f"{name}: cannot be unpacked ({error})") from None
                with content, io.TextIOWrapper(content, "utf-8-sig", "replace", "") as text:
                    yield text
        else:
            check_size(raw.seek(0, os.SEEK_END), MAX_CSV_BYTES, name, RecordsError)
            raw.seek(0)
            with io.TextIOWrapper(raw, "utf-8-sig", "replace", "") as text:
                yield text


def _archive(raw: io.BytesIO | io.BufferedReader, name: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(raw)
    except (NotImplementedError, ValueError) as error:
        raise RecordsError(f"{name}: cannot be unpacked ({error})") from None


def _only_csv(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    members = [
        member
        for member in archive.infolist()
        if member.filename.lower().endswith(".csv") and not member.filename.startswith("__MACOSX/")
    ]
    if len(members) != 1:
        raise RecordsError(f"{name}: {len(members)} CSV files in the zip; exactly one is wanted")
    return members[0]


def _read_columns(
    lines: Iterable[str], quantities: Sequence[Quantity], name: str
) -> tuple[list[int], list[list[float]]]:
    """Time stamps and the wanted cells; only these are kept, for a device has little memory."""
    rows = csv.reader(lines)
    header = [title.strip() for title in next(rows, [])]
    if not header:
        raise RecordsError(f"{name}: empty; a header and rows of records are wanted")
    time_column, columns = _find_columns(header, quantities, name)
    times: list[int] = []
    cells: list[list[float]] = []
    for row in rows:
        if not row:
            continue
        if len(row) != len(header):
            raise RecordsError(
                f"{name}: line {rows.line_num} has {len(row)} cells where the header has "
                f"{len(header)}; the file may be truncated"
            )
        try:
            times.append(_seconds(row[time_column].strip()))
        except ValueError:
            raise RecordsError(
                f"{name}: line {rows.line_num}: {row[time_column][:40]!r} is no time stamp; "
                "dd.mm.yyyy hh:mm:ss, ISO 8601 or unix seconds are taken"
            ) from None
        try:
            cells.append([_number(row[column]) for column in columns])
        except ValueError:
            wrong = next(c for c in columns if not _is_number(row[c]))
            raise RecordsError(
                f"{name}: line {rows.line_num}: {row[wrong][:40]!r} in column "
                f"{header[wrong]!r} is no number"
            ) from None
    if not times:
        raise RecordsError(f"{name}: a header but no rows")
    return times, cells


def _find_columns(
    header: list[str], quantities: Sequence[Quantity], name: str
) -> tuple[int, list[int]]:
    lower = [title.lower() for title in header]
    time = next((lower.index(title) for title in TIME_COLUMNS if title in lower), None)
    missing = ["for the time (such as 'Date Time')"] if time is None else []
    columns = []
    for quantity in quantities:
        if quantity.column in header:
            columns.append(header.index(quantity.column))
        elif quantity.name in header:
            columns.append(header.index(quantity.name))
        else:
            missing.append(repr(quantity.column))
    if missing or time is None:
        present = ", ".join(repr(title[:40]) for title in header[:30])
        raise RecordsError(f"{name}: no column {' nor '.join(missing)}; it has {present}")
    return time, columns


def _seconds(text: str) -> int:
    """Unix seconds of a time stamp; ValueError when it is none."""
    if _UNIX_TIME.fullmatch(text):
        return int(float(text))
    if _JENA_TIME.fullmatch(text):
        text = f"{text[6:10]}-{text[3:5]}-{text[:2]}T{text[11:]}"
    moment = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return int(moment.timestamp())


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        if cell.strip().lower() in _NOTHING:
            return float("nan")
        raise


def _is_number(cell: str) -> bool:
    try:
        _number(cell)
    except ValueError:
        return False
    return True
