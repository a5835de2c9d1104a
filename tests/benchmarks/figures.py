"""The README's table of what the bundles under ``models/`` reach on the official test data.

``python -m tests.benchmarks.figures --data FOLDER`` prints it; ``--write`` also puts it into the
README.  Every row comes from the command a user would type: ``ml4iot-edge predict``, and for Big a
REST request to ``ml4iot-serve``.  FOLDER holds ``mini_speech_commands.zip``,
``jena_climate_2020.csv.zip`` and ``splits/kws_test_split.txt``.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import httpx

from components.progress import progress
from edge_client.bundle import read_bundle
from edge_client.cli.parser import OneLineParser
from edge_client.wilson import wilson
from serving.launcher import start_server
from serving.options import ServeOptions

REPOSITORY = Path(__file__).resolve().parents[2]
MODELS = REPOSITORY / "models"
KEYWORDS = ("kws-a", "kws-b", "kws-c", "kws-d", "little")
FORECASTERS = ("th-a", "th-b", "th-a3", "th-b9")
_BEGIN, _END = "<!-- figures: begin -->", "<!-- figures: end -->"
DATA = ("mini_speech_commands.zip", "jena_climate_2020.csv.zip", "splits/kws_test_split.txt")
_BATCH = 32
_LAST = 0.1  # of the Jena records


@dataclass(frozen=True)
class Accuracy:
    """Right answers among the official test clips."""

    name: str
    right: int
    clips: int
    bytes: int

    def __str__(self) -> str:
        low, high = (100 * share for share in wilson(self.right, self.clips))
        share = 100 * self.right / self.clips
        return f"| {self.name} | {share:.2f} % [{low:.1f}–{high:.1f}] | {self.bytes:,} |"


@dataclass(frozen=True)
class Errors:
    """Mean absolute errors on the last records beside those of persistence."""

    name: str
    errors: dict[str, float]
    persistence: dict[str, float]
    bytes: int

    def __str__(self) -> str:
        own, floor = (
            f"{values['T']:.4f} °C / {values['RH']:.4f} %"
            for values in (self.errors, self.persistence)
        )
        return f"| {self.name} | {own} | {floor} | {self.bytes:,} |"


def official_clips(data: Path, folder: Path) -> tuple[Path, Path]:
    """The list of official test clips, and the folder its paths are found under."""
    listed = data / "splits" / "kws_test_split.txt"
    wanted = {"/".join(line.split("/")[-2:]) for line in listed.read_text().split()}
    with zipfile.ZipFile(data / "mini_speech_commands.zip") as archive:
        for name in archive.namelist():
            if "/".join(name.split("/")[-2:]) in wanted:
                archive.extract(name, folder)
    return listed, folder / "mini_speech_commands"


def predictions(bundle: Path, *arguments: str) -> tuple[list[dict], str]:
    """What ``ml4iot-edge predict`` prints, and its summary."""
    command = [sys.executable, "-m", "edge_client", "predict", str(bundle), *arguments, "--summary"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise SystemExit(f"{bundle.name}: {done.stderr.strip()}")
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def keyword_row(name: str, listed: Path, root: Path) -> Accuracy:
    """One bundle on the official test clips."""
    bundle = MODELS / f"{name}.bundle"
    answers, _ = predictions(bundle, "--list", str(listed), "--root", str(root))
    right = sum(Path(answer["path"]).parent.name == answer["label"] for answer in answers)
    return Accuracy(name, right, len(answers), read_bundle(bundle).manifest.model.bytes)


def forecast_row(name: str, records: Path) -> Errors:
    """One bundle on the last tenth of the records."""
    bundle = MODELS / f"{name}.bundle"
    _, summary = predictions(bundle, str(records), "--last", str(_LAST))
    found = re.findall(r"(\w+) (\d+\.\d+) \S+ \(persistence (\d+\.\d+)", summary)
    return Errors(
        name,
        {quantity: float(error) for quantity, error, _ in found},
        {quantity: float(floor) for quantity, _, floor in found},
        read_bundle(bundle).manifest.model.bytes,
    )


def _client() -> httpx.Client:
    """Asks this machine itself, whatever proxy the environment names."""
    return httpx.Client(trust_env=False)


def big_row(listed: Path, root: Path) -> Accuracy:
    """Big over REST on the official test clips."""
    clips = [root / "/".join(line.split("/")[-2:]) for line in listed.read_text().split()]
    right = 0
    with start_server(ServeOptions(MODELS / "big", port=0)) as server, _client() as client:
        for start in range(0, len(clips), _BATCH):
            batch = clips[start : start + _BATCH]
            audio = [{"b64": base64.b64encode(clip.read_bytes()).decode()} for clip in batch]
            answer = client.post(
                f"{server.url}/v1/models/big:predict", json={"instances": audio}, timeout=60
            )
            answer.raise_for_status()
            labels = [prediction["label"] for prediction in answer.json()["predictions"]]
            right += sum(
                clip.parent.name == label for clip, label in zip(batch, labels, strict=True)
            )
    size = sum(file.stat().st_size for file in (MODELS / "big").rglob("*") if file.is_file())
    return Accuracy("big", right, len(clips), size)


def table(data: Path) -> str:
    """Both tables as Markdown."""
    records = data / "jena_climate_2020.csv.zip"
    with (
        tempfile.TemporaryDirectory() as folder,
        progress("predicting", len(KEYWORDS) + len(FORECASTERS) + 1) as bar,
    ):
        listed, root = official_clips(data, Path(folder))
        rows: list[str] = []
        for name in KEYWORDS:
            rows.append(str(keyword_row(name, listed, root)))
            bar.advance(name)
        rows.append(str(big_row(listed, root)))
        bar.advance("big")
        forecasts = []
        for name in FORECASTERS:
            forecasts.append(str(forecast_row(name, records)))
            bar.advance(name)
    return "\n".join(
        [
            "| version | accuracy on the 800 official test clips [95 %] | bytes |",
            "|---|---|---|",
            *rows,
            "",
            "| version | mean absolute error, last 10 % of Jena 2020 | persistence | bytes |",
            "|---|---|---|---|",
            *forecasts,
        ]
    )


def written_table(readme: Path) -> str:
    """The table that stands in the README."""
    text = readme.read_text()
    return text[text.index(_BEGIN) + len(_BEGIN) : text.index(_END)].strip()


def main() -> None:
    """Prints the table, and writes it where that is asked for."""
    parser = OneLineParser(
        prog="python -m tests.benchmarks.figures", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--data", type=Path, required=True, help=f"folder of the real data: {', '.join(DATA)}"
    )
    parser.add_argument("--write", action="store_true", help="also put it into the README")
    options = parser.parse_args()
    models = [MODELS / f"{name}.bundle" for name in (*KEYWORDS, *FORECASTERS)] + [MODELS / "big"]
    for wanted in (*(options.data / name for name in DATA), *models):
        if not wanted.exists():
            parser.error(f"{wanted}: not there")
    made = table(options.data)
    print(made)
    if options.write:
        readme = REPOSITORY / "README.md"
        text = readme.read_text()
        before, after = text[: text.index(_BEGIN)], text[text.index(_END) :]
        readme.write_text(f"{before}{_BEGIN}\n{made}\n{after}")


if __name__ == "__main__":
    main()
