"""Latencies that devices measured of a candidate, which count for more than this host's.

A measurement belongs to the candidate whose file has the SHA-256 it names.  Compression gives the
same file again from its cache, so a candidate that was measured on a device after one run is known
by it in the next.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from components.constraint_evaluator.report import Latency
from components.errors import InputError
from edge_client.big.connection import Connection
from edge_client.errors import EdgeError
from edge_client.files import check_size, read_input
from edge_client.measurement import Measurement

THIS_HOST = "this host"
PARTS = ("features", "inference", "total")
_MAX_FILE_BYTES = 16 * 2**20
_SECONDS = 20.0  # for the registry's whole answer
_MAX_KEPT = 1000  # of one model; they travel in an execution parameter


def read_measurements(source: str, model: str) -> str:
    """What devices measured of one model, as the JSON text an execution parameter carries.

    Args:
        source: a file of one JSON object a line, as ``ml4iot-edge bench --report`` writes it, or
            the URL of a registry.
        model: its name; of which version does not matter, for the file decides.

    Raises:
        InputError: the file cannot be read or holds something else, or the registry does not
            answer.
    """
    try:
        if source.startswith(("http://", "https://")):
            found = _from_registry(source, model)
        else:
            found = _from_file(Path(source))
    except EdgeError as error:
        raise InputError(str(error)) from None
    kept = latest(measured for measured in found if measured.model == model)
    if len(kept) > _MAX_KEPT:
        raise InputError(
            f"{source}: {len(kept)} measurements of {model}; {_MAX_KEPT} are taken: leave out "
            "models that are no longer candidates"
        )
    return json.dumps([measured.to_json() for measured in kept], sort_keys=True)


def parse_measurements(text: str) -> tuple[Measurement, ...] | None:
    """Reads what :func:`read_measurements` gave; None from an empty text, for none were asked for.

    Raises ``InputError`` for anything else.
    """
    if not text:
        return None
    try:
        return tuple(Measurement.of(values) for values in json.loads(text))
    except (TypeError, ValueError) as error:
        raise InputError(f"measurements: {error}") from None


def latest(measurements: Iterable[Measurement]) -> list[Measurement]:
    """The last one of each device of each model file, always in the same order."""
    last: dict[tuple[str, str], Measurement] = {}
    for measured in sorted(measurements, key=lambda m: (m.measured_at, m.serialise())):
        last[measured.model_sha256, measured.device] = measured
    return [last[key] for key in sorted(last)]


def device_latency(measurements: Sequence[Measurement], sha256: str) -> dict[str, Latency] | None:
    """Features, inference and total of one model file, each on the device that is slowest at it.

    A budget holds for a fleet only if it holds on its slowest device.

    Args:
        measurements: of any models.
        sha256: of the candidate's file as it lies in a bundle.

    Returns:
        The latencies; None where no device has measured this file.
    """
    own = [measured for measured in latest(measurements) if measured.model_sha256 == sha256]
    if not own:
        return None
    slowest = {part: max(own, key=lambda m: _milliseconds(m, part)) for part in PARTS}
    return {
        part: Latency(_milliseconds(measured, part), None, measured.runs, measured.device)
        for part, measured in slowest.items()
    }


def _milliseconds(measured: Measurement, part: str) -> float:
    milliseconds: float = getattr(measured, f"{part}_ms")
    return milliseconds


def _from_file(path: Path) -> list[Measurement]:
    if not path.exists():
        raise InputError(f"{path}: no such file; make an empty one to begin with")
    data = read_input(path, _MAX_FILE_BYTES, str(path), EdgeError)
    check_size(len(data), _MAX_FILE_BYTES, str(path), EdgeError)
    return [
        Measurement.parse(line, f"{path}, line {number}")
        for number, line in enumerate(data.splitlines(), 1)
        if line.strip()
    ]


def _from_registry(url: str, model: str) -> list[Measurement]:
    connection = Connection(url, connections=1)
    try:
        reply = connection.exchange("GET", f"/models/{model}/measurements", _SECONDS)
    finally:
        connection.close()
    try:
        if reply.status != 200:
            raise ValueError
        values = list(json.loads(reply.body)["measurements"])
    except (KeyError, TypeError, ValueError, RecursionError):
        raise InputError(
            f"{url}: gives no measurements (status {reply.status}); is it a registry?"
        ) from None
    return [Measurement.of(each, f"{url}: measurement") for each in values]
