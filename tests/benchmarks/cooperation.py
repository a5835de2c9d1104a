"""How well small models decide together: the 800 official test clips, by every combination.

``python -m tests.benchmarks.cooperation --data FOLDER [--ensemble FILE]``.  Offline first, through
the code that combines what arrives: all members, each of them alone, and all but each one, with
95 % Wilson intervals.  Then all of them once more as a user would, as processes around a broker.
FOLDER holds ``mini_speech_commands.zip`` and ``splits/kws_test_split.txt``.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from components.progress import progress
from edge_client.audio import read_wav
from edge_client.bundle import LabelOutput, read_bundle
from edge_client.cli.messages import native_silence
from edge_client.cli.parser import OneLineParser
from edge_client.cooperation.combine import RULES, combine
from edge_client.cooperation.ensemble import Ensemble, Member, read_ensemble
from edge_client.cooperation.views import hear as hear_clip
from edge_client.errors import EdgeError
from edge_client.predictor import AudioPredictor
from edge_client.wilson import wilson
from serving.broker import start_broker
from tests.benchmarks.cooperation_throughput import MEMBERS, MODELS, ask, running_nodes
from tests.benchmarks.figures import official_clips

WANTED, WITHOUT_ONE = 97.0, 96.0  # percent
MAX_BYTES = 200_000
_DATA = ("mini_speech_commands.zip", "splits/kws_test_split.txt")


@dataclass(frozen=True)
class Heard:
    """What every member says about every clip."""

    members: tuple[str, ...]
    outputs: npt.NDArray[np.float64]  # [clips, members, labels] probabilities
    words: npt.NDArray[np.int64]  # [clips] which label is right

    def right(self, rule: str, weights: list[float], members: list[int]) -> int:
        """How many clips these members get right together."""
        chosen = [weights[member] for member in members] if rule == "weighted" else None
        together = combine(rule, self.outputs[:, members], chosen)
        return int((together.argmax(-1) == self.words).sum())


def bundle_path(name: str) -> Path:
    """Of a member."""
    return MODELS / f"{name}.bundle"


def checked_ensemble(path: Path) -> Ensemble:
    """The ensemble of the file, whose members are the bundles that are there.

    Raises:
        EdgeError: it is unreadable, or a bundle is another than its weight was learned for.
    """
    ensemble = read_ensemble(path)
    for member in ensemble.members:
        data = bundle_path(member.name).read_bytes()
        if hashlib.sha256(data).hexdigest() != member.sha256:
            raise EdgeError(f"{path}: {member.name} is another bundle now; tune the ensemble again")
    return ensemble


def plain_ensemble() -> Ensemble:
    """The four keyword models, all of the same weight."""
    given = read_bundle(bundle_path(MEMBERS[0])).manifest.output
    assert isinstance(given, LabelOutput)
    members = (
        Member(name, hashlib.sha256(bundle_path(name).read_bytes()).hexdigest()) for name in MEMBERS
    )
    return Ensemble(tuple(members), "sum", given.labels)


def hear(ensemble: Ensemble, listed: Path, root: Path) -> Heard:
    """Runs every member on every listed clip below ``root``."""
    clips = [root / "/".join(line.split("/")[-2:]) for line in listed.read_text().split()]
    recordings = [read_wav(clip) for clip in clips]
    outputs = []
    with progress("listening", len(ensemble.members)) as bar:
        for member in ensemble.members:
            with native_silence():
                predictor = AudioPredictor(read_bundle(bundle_path(member.name)), member.name)
            order = [predictor.labels.index(label) for label in ensemble.labels]
            outputs.append([hear_clip(predictor, *each)[order] for each in recordings])
            bar.advance(member.name)
    words = [ensemble.labels.index(clip.parent.name) for clip in clips]
    names = tuple(member.name for member in ensemble.members)
    stacked = np.asarray(outputs, np.float64).transpose(1, 0, 2)
    return Heard(names, stacked, np.asarray(words))


def table(ensemble: Ensemble, heard: Heard) -> str:
    """Markdown: a row for each set of members, a column for each combination."""
    everybody = list(range(len(heard.members)))
    weights = [member.weight for member in ensemble.members]
    groups = {f"all (≥ {WANTED:.1f} % wanted)": everybody}
    if len(everybody) > 1:
        for each, name in enumerate(heard.members):
            groups[f"without {name} (≥ {WITHOUT_ONE:.1f} %)"] = [n for n in everybody if n != each]
        for each, name in enumerate(heard.members):
            groups[f"only {name}"] = [each]
    rules = [f"**{rule}**" if rule == ensemble.combination else rule for rule in RULES]
    lines = [f"| members | {' | '.join(rules)} |", "|---" * (1 + len(rules)) + "|"]
    for title, members in groups.items():
        rights = (heard.right(rule, weights, members) for rule in RULES)
        cells = " | ".join(accuracy(right, len(heard.words)) for right in rights)
        lines.append(f"| {title} | {cells} |")
    sizes = [read_bundle(bundle_path(name)).manifest.model.bytes for name in heard.members]
    lines += [
        "",
        f"{len(heard.words)} clips; {len(sizes)} models of {sum(sizes):,} bytes together "
        f"(≤ {MAX_BYTES:,} wanted)",
    ]
    return "\n".join(lines)


def accuracy(right: int, clips: int) -> str:
    """With its 95 % interval."""
    low, high = (100 * share for share in wilson(right, clips))
    return f"{100 * right / clips:.2f} % [{low:.1f}–{high:.1f}]"


def through_broker(ensemble: Ensemble, path: Path | None, listed: Path, root: Path) -> str:
    """One line: what ``cooperate ask`` hears from all members as nodes."""
    names = [member.name for member in ensemble.members]
    arguments = ["--list", str(listed), "--root", str(root), "--wait", "5"]
    if path is not None:
        arguments += ["--ensemble", str(path)]
    with start_broker() as broker, running_nodes(broker, [bundle_path(n) for n in names]) as nodes:
        report = ask(broker, len(nodes), *arguments)
        what = broker.what
    return (
        f"through {what}, by {report['combination']}: "
        f"{accuracy(report['right'], report['known'])}, {report['unanswered']} without an answer, "
        f"{report['clips_per_second']:.0f} clips/s, p99 {report['latency_ms']['p99']:.0f} ms"
    )


def main() -> int:
    """Prints the table, and the line of the broker."""
    parser = OneLineParser(
        prog="python -m tests.benchmarks.cooperation", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--data", type=Path, required=True, help=f"folder of the real data: {', '.join(_DATA)}"
    )
    parser.add_argument(
        "--ensemble",
        type=Path,
        help="members and weights (default: models/cooperation.json, or else the four keyword "
        "models with the same weight)",
    )
    chosen = parser.parse_args()
    for wanted in _DATA:
        if not (chosen.data / wanted).is_file():
            parser.error(f"{chosen.data / wanted}: no such file")
    path = chosen.ensemble
    if path is None and (MODELS / "cooperation.json").is_file():
        path = MODELS / "cooperation.json"
    try:
        ensemble = plain_ensemble() if path is None else checked_ensemble(path)
        with tempfile.TemporaryDirectory() as folder:
            listed, root = official_clips(chosen.data, Path(folder))
            print(table(ensemble, hear(ensemble, listed, root)))
            print(through_broker(ensemble, path, listed, root))
    except (EdgeError, OSError) as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
