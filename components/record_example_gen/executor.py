"""RecordExampleGen: how it is done, in plain Python; a station's decade is read in seconds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from absl import logging
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact

from components.errors import InputError
from components.examples import SPLITS, example, split_writers
from components.progress import progress
from components.settings import from_mapping
from edge_client.features.spec import Quantity
from edge_client.records import Records, RecordsError, read_records

_SHARES = {"train": 0.7, "validation": 0.2, "test": 0.1}
_STEP = 1000  # records between two movements of the progress bar


@dataclass(frozen=True)
class _Given:
    """The parameters that are JSON, read."""

    quantities: tuple[Quantity, ...] = ()
    shares: Mapping[str, float] | None = None


class Executor(BaseExecutor):
    """Reads the CSV once and writes its records into the splits, in order of time."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Fills ``examples``; raises InputError for a file that cannot be used."""
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        quantities = parse_quantities(exec_properties["quantities"])
        path = Path(exec_properties["input_path"])
        try:
            records = read_records(path, quantities)
        except RecordsError as error:
            raise InputError(str(error)) from None
        bounds = split_bounds(len(records), parse_shares(exec_properties["shares"]), path)
        names = [quantity.name for quantity in quantities]
        with (
            split_writers(examples) as writers,
            progress("reading records", len(records)) as bar,
        ):
            for split, (start, end) in bounds.items():
                for index in range(start, end):
                    writers[split].write(_to_example(records, index, names))
                    if (index + 1) % _STEP == 0:
                        bar.advance(by=_STEP)
            bar.advance(by=len(records) % _STEP)
        counts = {
            "records": len(records),
            "duplicates": records.duplicates,
            "disordered": records.disordered,
            "missing": records.missing,
        }
        for name, count in counts.items():
            examples.set_int_custom_property(name, count)
        logging.info(
            "%s: %d records; %d dropped as duplicates, %d were out of order, %d values missing",
            path,
            *counts.values(),
        )


def parse_quantities(text: str) -> tuple[Quantity, ...]:
    """The quantities a JSON list describes; raises InputError."""
    quantities = from_mapping(_Given, {"quantities": _json(text, "quantities")}, "parameters")
    names = [quantity.name for quantity in quantities.quantities]
    if not names or len(set(names)) != len(names) or "time" in names:
        raise InputError(
            f"quantities: the names are {names}; name at least one, each once, none 'time'"
        )
    return quantities.quantities


def parse_shares(text: str) -> dict[str, float]:
    """The share of each split in a JSON mapping, or the default; raises InputError."""
    given = from_mapping(_Given, {"shares": _json(text, "shares")}, "parameters").shares
    shares = dict(given or _SHARES)
    if (
        set(shares) != set(SPLITS)
        or min(shares.values()) <= 0
        or not math.isclose(sum(shares.values()), 1, abs_tol=1e-6)
    ):
        raise InputError(
            f"shares: are {shares}; name exactly {', '.join(SPLITS)}, each above 0, adding up to 1"
        )
    return shares


def split_bounds(
    count: int, shares: Mapping[str, float], where: Path
) -> dict[str, tuple[int, int]]:
    """For each split its first record and the one after its last, in order of time.

    Raises:
        InputError: too few records for a split to have one.
    """
    bounds, start, share = {}, 0, 0.0
    for split in SPLITS:
        share += shares[split]
        # Cut as the published scripts cut, int(n * 0.7) and int(n * 0.9), to have the same test
        # records; the small term keeps 0.7 + 0.2 from falling short of 0.9.
        end = count if split == SPLITS[-1] else int(count * share + 1e-6)
        if end <= start:
            raise InputError(f"{where}: {count} records are too few for a split {split!r}")
        bounds[split] = (start, end)
        start = end
    return bounds


def _to_example(records: Records, index: int, names: list[str]) -> bytes:
    values: dict[str, int | float] = {"time": int(records.time[index])}
    for name, value in zip(names, records.values[index].tolist(), strict=True):
        if not math.isnan(value):
            values[name] = value
    return example(values)


def _json(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"{name}: {text!r} is no JSON ({error})") from None
