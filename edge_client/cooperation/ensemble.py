"""Which models decide together and how: a small JSON file the pipeline writes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_client.cooperation.combine import RULES
from edge_client.errors import EdgeError
from edge_client.fields import FieldError, Fields
from edge_client.files import check_size, read_input, write_whole

FORMAT = 1
MAX_ENSEMBLE_BYTES = 2**20
MAX_MEMBERS = 100
MAX_LABELS = 1000
MAX_WEIGHT = 1000.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class EnsembleError(EdgeError):
    """A file that describes no ensemble."""


@dataclass(frozen=True)
class Member:
    """One model: the name in its bundle's manifest, and its weight for ``weighted``."""

    name: str
    sha256: str  # of the bundle file
    weight: float = 1.0  # of its log-probabilities, 0 or more, learned on validation


@dataclass(frozen=True)
class Ensemble:
    """Models and the combination that was best on validation."""

    members: tuple[Member, ...]
    combination: str  # one of combine.RULES
    labels: tuple[str, ...]

    def weight(self, name: str) -> float:
        """Of the model of this name; a stranger weighs what the members weigh on average."""
        known = {member.name: member.weight for member in self.members}
        return known.get(name, sum(known.values()) / len(known))

    def to_json(self) -> dict[str, Any]:
        """As it is written."""
        return {
            "format": FORMAT,
            "combination": self.combination,
            "labels": list(self.labels),
            "members": [
                {"name": member.name, "sha256": member.sha256, "weight": member.weight}
                for member in self.members
            ],
        }

    @staticmethod
    def from_json(values: Any, name: str = "ensemble") -> Ensemble:
        """Reads :meth:`to_json` back; ``values`` need not be trusted.

        Raises:
            EnsembleError: a field is unknown, missing or impossible.
        """
        try:
            with Fields(values, name) as fields:
                if fields.whole("format", 0, 2**31) != FORMAT:
                    raise FieldError(f"{name}: not of format {FORMAT}; update ml4iot-edge")
                members = tuple(map(_member, fields.mappings("members", MAX_MEMBERS)))
                if not members or len({member.name for member in members}) != len(members):
                    raise FieldError(f"{name}.members: different models are wanted, at least one")
                if not any(member.weight for member in members):
                    raise FieldError(f"{name}.members: a weight above 0 is wanted")
                combination = fields.choice("combination", RULES)
                return Ensemble(members, combination, fields.texts("labels", 2, MAX_LABELS))
        except FieldError as error:
            raise EnsembleError(str(error)) from None


def read_ensemble(path: Path | str) -> Ensemble:
    """Reads the file; raises :class:`EnsembleError` with one line that says what is wrong."""
    name = str(path)
    data = read_input(Path(path), MAX_ENSEMBLE_BYTES, name, EnsembleError)
    check_size(len(data), MAX_ENSEMBLE_BYTES, name, EnsembleError)
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        raise EnsembleError(f"{name}: not JSON") from None
    return Ensemble.from_json(values, name)


def write_ensemble(path: Path | str, ensemble: Ensemble) -> None:
    """Writes the file, whole or not at all, after a reader has taken it.

    Raises:
        EnsembleError: no reader would take it.
        OSError: the disk is full or the folder cannot be written; nothing is left behind.
    """
    path = Path(path)
    Ensemble.from_json(ensemble.to_json(), path.name)
    text = json.dumps(ensemble.to_json(), indent=1, allow_nan=False) + "\n"
    write_whole(path, text.encode())


def _member(fields: Fields) -> Member:
    with fields:
        member = Member(
            name=fields.text("name", _NAME, longest=64),
            sha256=fields.text("sha256", _SHA256),
            weight=fields.number("weight"),
        )
    if not 0 <= member.weight <= MAX_WEIGHT:
        raise FieldError(
            f"{fields.where}.weight: {member.weight:g} is not from 0 to {MAX_WEIGHT:g}"
        )
    return member
