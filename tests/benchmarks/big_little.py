"""What the committed Little and Big reach together on the official test clips.

``python -m tests.benchmarks.big_little --data FOLDER`` prints it; ``--curve FILE`` also draws the
accuracy against the bytes as an SVG.  Thresholds come from the bundle, or, where it carries none,
from the official validation clips by the recipe in the version's YAML; the test clips are read
once.  FOLDER holds ``mini_speech_commands.zip`` and ``splits/``.

Beside the area that the chosen policy gains stand its 95 % interval, by resampling the clips, and
what a perfect detector of Little's mistakes would gain: one that asks for exactly those first, and
for the rest by lot.
"""

from __future__ import annotations

import sys
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from components.constraint_evaluator.report import Figure
from components.deferral.curve import Float64, area_gained, curve
from components.deferral.draw import draw
from components.deferral.pair import BigModel, Pair, ask_both
from components.deferral.report import SplitReport, split_report
from components.deferral.stages import Clips
from components.deferral.tuning import tune
from components.errors import InputError
from components.progress import progress
from components.version import read_version
from edge_client.audio import fit_clip, read_wav
from edge_client.bundle import Deferral, read_bundle
from edge_client.cli.messages import native_silence
from edge_client.cli.parser import OneLineParser
from edge_client.deferral.policies import doubts
from edge_client.predictor import AudioPredictor

REPOSITORY = Path(__file__).resolve().parents[2]
MODELS = REPOSITORY / "models"
PAYLOADS = ("features-cbor", "pcm-json")
ARCHIVE = "mini_speech_commands.zip"
_RATE = 16000
_DRAWINGS = 1000


@dataclass(frozen=True)
class Measured:
    """Both models on the official test clips, by payload."""

    little: str
    deferral: Deferral
    reports: dict[str, SplitReport]
    area: tuple[float, float]  # 95 % interval of what the chosen policy gains, by the first payload
    detector: float  # area that knowing Little's mistakes would gain

    def __str__(self) -> str:
        first = self.reports[PAYLOADS[0]]
        lines = [
            f"| {self.little} alone | {shown(first.little)} | – | – |",
            f"| big alone | {shown(self.reports[PAYLOADS[1]].big)} | 100 % | – |",
        ]
        for payload, report in self.reports.items():
            system = report.policies[self.deferral.policy]
            lines.append(
                f"| both, {payload} | {shown(system.accuracy)} | {100 * system.share:.2f} % | "
                f"{system.megabytes:.3f} MB |"
            )
        return "\n".join(
            [
                f"| {first.clips} official test clips | accuracy [95 %] | asked | requests |",
                "|---|---|---|---|",
                *lines,
                "",
                "| policy | accuracy | asked | area gained | AUROC |",
                "|---|---|---|---|---|",
                *(
                    f"| {name}{' (chosen)' if name == self.deferral.policy else ''} | "
                    f"{shown(policy.accuracy)} | {100 * policy.share:.2f} % | "
                    f"{percent(policy.area)} | {percent(policy.auroc)} |"
                    for name, policy in first.policies.items()
                ),
                "",
                f"Area gained by {self.deferral.policy}, 95 % interval over clips: "
                f"{percent(self.area[0])} to {percent(self.area[1])}; a perfect detector of "
                f"{self.little}'s mistakes would gain {percent(self.detector)}.",
            ]
        )


def shown(figure: Figure) -> str:
    """An accuracy with its interval."""
    return f"{figure.value:.2f} % [{figure.low:.1f}–{figure.high:.1f}]"


def percent(share: float | None) -> str:
    """A share as a percentage, or that there is none."""
    return "none" if share is None else f"{100 * share:.1f} %"


def area_interval(doubt: Float64, pair: Pair, fusion: float) -> tuple[float, float]:
    """The middle 95 % of the area gained on clips drawn anew (B. Efron's percentile bootstrap).

    Drawings in which asking changes nothing have no area and are left out.
    """
    rng = np.random.default_rng(0)
    areas = []
    for _ in range(_DRAWINGS):
        drawn = rng.integers(len(doubt), size=len(doubt))
        clips = Pair(*(getattr(pair, item.name)[drawn] for item in fields(Pair)))
        area = area_gained(curve(doubt[drawn], clips, fusion), clips, fusion)
        if area is not None:
            areas.append(area)
    low, high = np.percentile(areas, [2.5, 97.5])
    return float(low), float(high)


def detector_area(pair: Pair, fusion: float) -> float:
    """What asking for exactly the small model's mistakes first would gain, the rest by lot."""
    mistakes = (~pair.little_right()).astype(np.float64)
    return area_gained(curve(mistakes, pair, fusion), pair, fusion) or 0.0


def official(data: Path, split: str, labels: tuple[str, ...]) -> Clips:
    """The clips of an official list (``val`` or ``test``), by path."""
    listed = (data / "splits" / f"kws_{split}_split.txt").read_text().split()
    names = sorted("/".join(line.split("/")[-2:]) for line in listed)
    clips = []
    with zipfile.ZipFile(data / ARCHIVE) as archive:
        for name in names:
            wav = archive.read(f"mini_speech_commands/{name}")
            samples, rate = read_wav(wav, name)
            clips.append(fit_clip(samples, rate, _RATE, _RATE))
    truth = np.array([labels.index(name.split("/")[0]) for name in names])
    return Clips(clips, truth)


def measure(data: Path, name: str) -> Measured:
    """Asks both models for every official clip; the test clips last, and once each payload."""
    bundle = read_bundle(MODELS / f"{name}.bundle")
    with native_silence():
        little = AudioPredictor(bundle, name)
    folder = max((MODELS / "big").iterdir(), key=lambda version: int(version.name))

    def ask(clips: Clips, payload: str, title: str) -> Pair:
        with progress(title, 2 * len(clips.audio)) as bar:
            return ask_both(little, BigModel(folder, payload), clips.audio, clips.truth, bar)

    deferral = bundle.manifest.deferral
    if deferral is None:
        recipe = read_version(REPOSITORY / "pipeline" / "versions" / f"{name}.yaml").deferral
        if recipe is None:
            raise InputError(f"{name}: neither its bundle nor its YAML says when it asks Big")
        validation = official(data, "val", little.labels)
        deferral = tune(ask(validation, recipe.payload, "validation"), recipe.target).deferral
    test = official(data, "test", little.labels)
    pairs = {payload: ask(test, payload, f"test, {payload}") for payload in PAYLOADS}
    first = pairs[PAYLOADS[0]]
    doubt = doubts(deferral.policy, first.little, deferral)
    return Measured(
        name,
        deferral,
        {payload: split_report(pair, deferral) for payload, pair in pairs.items()},
        area_interval(doubt, first, deferral.fusion),
        detector_area(first, deferral.fusion),
    )


def main() -> None:
    """Prints the figures, and draws the curve where that is asked for."""
    parser = OneLineParser(
        prog="python -m tests.benchmarks.big_little", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--data", type=Path, required=True, help=f"folder of the real data: {ARCHIVE}, splits/"
    )
    parser.add_argument("--little", default="little", help="name of a bundle under models/")
    parser.add_argument("--curve", type=Path, help="an SVG to draw the curve into")
    options = parser.parse_args()
    for wanted in (options.data / ARCHIVE, options.data / "splits"):
        if not wanted.exists():
            parser.error(f"{wanted}: not there")
    try:
        measured = measure(options.data, options.little)
    except InputError as error:
        sys.exit(f"big_little: {error}")
    print(measured)
    if options.curve:
        report = measured.reports[PAYLOADS[0]]
        title = f"{options.little} asking big, {report.clips} official test clips"
        draw(report, measured.deferral.policy, title, options.curve)


if __name__ == "__main__":
    main()
