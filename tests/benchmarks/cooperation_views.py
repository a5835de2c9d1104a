"""How often nodes should hear a clip: the official validation clips, moved in time.

``python -m tests.benchmarks.cooperation_views --data FOLDER`` prints, for each set of views, how
likely the right words are under the members of ``models/cooperation.json`` together, and how many
they get right.  The test clips
are not read.  FOLDER holds ``mini_speech_commands.zip`` and ``splits/kws_val_split.txt``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from components.progress import progress
from edge_client.bundle import read_bundle
from edge_client.cli.messages import native_silence
from edge_client.cli.parser import OneLineParser
from edge_client.cooperation.combine import combine
from edge_client.cooperation.ensemble import read_ensemble
from edge_client.cooperation.views import VIEWS_MS, hear
from edge_client.predictor import AudioPredictor
from tests.benchmarks.big_little import MODELS, official
from tests.benchmarks.cooperation import bundle_path

SETS: tuple[tuple[float, ...], ...] = (
    (0,),
    (-20, 20),
    (-20, 0, 20),
    (-40, 40),
    (-40, 0, 40),
    (-40, -20, 0, 20, 40),
    (-80, -40, 0, 40, 80),
)
_RATE = 16000


def answers(
    predictor: AudioPredictor, clips: list[npt.NDArray[np.int16]], view_ms: float
) -> npt.NDArray[np.float32]:
    """``[clips, labels]`` probabilities of one member to clips moved once."""
    return np.stack([hear(predictor, clip, _RATE, (view_ms,)) for clip in clips])


def table(data: Path) -> str:
    """Markdown: a row for each set of views."""
    names = [member.name for member in read_ensemble(MODELS / "cooperation.json").members]
    with native_silence():
        members = [AudioPredictor(read_bundle(bundle_path(name)), name) for name in names]
    clips = official(data, "val", members[0].labels)
    views = sorted({view for each in SETS for view in each})
    heard = {}
    with progress("listening", len(views) * len(members)) as bar:
        for view in views:
            for number, member in enumerate(members):
                heard[view, number] = answers(member, clips.audio, view)
                bar.advance(f"{view:+g} ms, {names[number]}")
    lines = ["| clip moved by | -log likelihood a clip | right |", "|---|---|---|"]
    for each in SETS:
        said = [np.mean([heard[view, m] for view in each], axis=0) for m in range(len(members))]
        # The mean of logits: their sum is too sure of itself for a likelihood.
        mean = combine("sum", np.stack(said, axis=1)) ** (1 / len(members))
        mean /= mean.sum(axis=-1, keepdims=True)
        truth = np.arange(len(clips.truth)), clips.truth
        loss = -np.log(mean[truth]).mean()
        right = 100 * (mean.argmax(-1) == clips.truth).mean()
        chosen = "**" if tuple(each) == VIEWS_MS else ""
        shown = ", ".join(f"{view:+g} ms" if view else "0" for view in each)
        lines.append(f"| {chosen}{shown}{chosen} | {loss:.4f} | {right:.2f} % |")
    return "\n".join(lines)


def main() -> int:
    """Prints the table."""
    parser = OneLineParser(
        prog="python -m tests.benchmarks.cooperation_views", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the real data")
    data = parser.parse_args().data
    for wanted in ("mini_speech_commands.zip", "splits/kws_val_split.txt"):
        if not (data / wanted).is_file():
            parser.error(f"{data / wanted}: no such file")
    print(table(data))
    return 0


if __name__ == "__main__":
    sys.exit(main())
