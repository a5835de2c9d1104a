"""Who goes into which split: by speaker, so that no voice is heard in two, or by given lists."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from components.audio_example_gen.recordings import Recording
from components.errors import InputError
from components.examples import SPLITS

_SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}


@dataclass(frozen=True)
class Splitting:
    """Either shares of the speakers, or for each split the file that lists its recordings."""

    shares: Mapping[str, float] | None = None
    lists: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        if self.shares is not None and self.lists is not None:
            raise InputError("splits: give either 'shares' or 'lists', not both")
        for name, given in (("shares", self.shares), ("lists", self.lists)):
            if given is not None and set(given) != set(SPLITS):
                raise InputError(f"splits.{name}: must name exactly {', '.join(SPLITS)}")
        shares = self.shares or _SHARES
        in_range = all(share > 0 for share in shares.values())  # which NaN is not
        if not in_range or not math.isclose(sum(shares.values()), 1, abs_tol=1e-6):
            raise InputError("splits.shares: must be above 0 and add up to 1")


def assign(
    recordings: Iterable[Recording], splitting: Splitting, seed: int
) -> dict[str, list[Recording]]:
    """The recordings of each split.

    By speaker, the split depends on nothing but seed and speaker: more recordings move nobody.
    By lists, what no list names is left out.

    Raises:
        InputError: a split without a recording; a list that names what is not there, names it
            twice, or names what another split has.
    """
    if splitting.lists is not None:
        splits = _by_lists(recordings, splitting.lists)
    else:
        splits = {name: [] for name in SPLITS}
        for recording in recordings:
            splits[split_of(recording.speaker, splitting.shares or _SHARES, seed)].append(recording)
    for name, chosen in splits.items():
        if not chosen:
            raise InputError(
                f"the split {name!r} gets no recording; give it a larger share, take recordings of "
                "more speakers, or another seed"
            )
    return splits


def split_of(speaker: str, shares: Mapping[str, float], seed: int) -> str:
    """The split of a speaker, from a hash even over 0..1 cut at the shares."""
    digest = hashlib.sha256(f"{seed}:{speaker}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    for name in SPLITS[:-1]:
        place -= shares[name]
        if place < 0:
            return name
    return SPLITS[-1]


def _by_lists(
    recordings: Iterable[Recording], lists: Mapping[str, str]
) -> dict[str, list[Recording]]:
    known = {recording.path: recording for recording in recordings}
    taken: dict[str, str] = {}
    splits: dict[str, list[Recording]] = {}
    for name in SPLITS:
        splits[name] = []
        for line_number, line in enumerate(_lines(Path(lists[name])), 1):
            if not line.strip():
                continue
            where = f"{lists[name]}, line {line_number}"
            path = "/".join(PurePosixPath(line.strip().replace("\\", "/")).parts[-2:])
            if path not in known:
                raise InputError(f"{where}: {path} is not among the recordings; correct the list")
            if path in taken:
                raise InputError(
                    f"{where}: {path} is listed twice (also in {taken[path]}); remove one"
                )
            taken[path] = where
            splits[name].append(known[path])
    return splits


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: the list cannot be read ({error})") from None
