"""``python -m pipeline.demo``: the whole way on embedded data."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

from components.default_data.records import make_records
from components.default_data.words import WordsRecipe, make_words
from components.errors import InputError
from components.report_table import find_reports, verdict_table
from edge_client.cli.ending import ended_in_order
from pipeline.demo.commands import (
    BIN,
    DemoError,
    big_predictions,
    edge_lines,
    local_broker,
    node,
    run_pipeline,
    service,
)
from pipeline.demo.fleet import Fleet, fleet
from pipeline.demo.shown import console, show_forecasts, show_words, step
from pipeline.settings import home

_MEMBERS = ("demo-kws", "demo-little")


def main() -> int:
    """Runs the demo; returns the exit status."""
    if shutil.which(str(BIN / "tfx")) is None:
        console.print(f"demo: no tfx in {BIN}; run make setup", soft_wrap=True)
        return 1
    started = time.monotonic()
    place = home() / "demo"
    environment = {
        **os.environ,
        "ML4IOT_HOME": str(place),
        "LOCAL_HOME": str(place / "tfx"),
        "PYTHONWARNINGS": "ignore",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    for name in list(environment):  # the demo is the demo, whatever the last run was set to
        if name.startswith("ML4IOT_") and name != "ML4IOT_HOME":
            del environment[name]
    try:
        with ended_in_order(), local_broker() as broker:
            clips, records = fresh_data(place)
            with fleet(place / "fleet", place / "logs" / "registry.log", broker) as registry:
                for pipeline in ("keyword_spotting", "forecasting"):
                    with step(f"pipeline {pipeline}: what is blessed goes to the registry, signed"):
                        run_pipeline(pipeline, place, environment | registry.environment)
                console.print(verdict_table(find_reports([place / "reports"])))
                on_the_device(registry, clips, records)
            big_and_little(place, clips)
            together(place, broker, clips)
    except (DemoError, InputError) as error:
        console.print(f"[red]demo: {error}[/]", highlight=False)
        return 1
    except KeyboardInterrupt:
        return 130
    console.print(
        f"Done in {time.monotonic() - started:.0f} s. Bundles: {place / 'pushed'}, "
        f"SavedModels: {place / 'serving'}, logs: {place / 'logs'}",
        highlight=False,
        soft_wrap=True,
    )
    return 0


def fresh_data(place: Path) -> tuple[list[Path], Path]:
    """Clips of speakers made anew and records of a station that the pipelines have not seen."""
    words, records = place / "data" / "fresh_words", place / "data" / "fresh_records.csv"
    make_words(words, WordsRecipe(seed=2026, speakers=8, takes=1))
    make_records(records, "sand-point")
    return sorted(words.rglob("*.wav")), records


def on_the_device(registry: Fleet, clips: list[Path], records: Path) -> None:
    """A device takes what was pushed, verifies it, and classifies and forecasts with it."""
    with step("A device joins the fleet and pulls"):
        registry.show()
        registry.enrol("demo-kws", "demo-th")
        registry.pull()
    home = ("--home", registry.device)
    with step("On the device: fresh clips, of speakers made anew"):
        show_words(edge_lines("predict", *home, "demo-kws", inputs=clips))
    with step("On the device: fresh records, of another station"):
        show_forecasts(edge_lines("predict", *home, "demo-th", inputs=[records]))


def big_and_little(place: Path, clips: list[Path]) -> None:
    """The big model over REST, then a device that asks it only where that pays."""
    models, logs = place / "serving" / "demo-big", place / "logs"
    serve = ("ml4iot-serve", str(models), "--port", "0", "--log-file", str(logs / "serve.log"))
    with service(*serve, address=r"http://\S+") as url:
        with step("The big model over REST"):
            show_words(big_predictions(url, clips))
        backend, _, name = url.partition("/v1/models/")
        gateway = ("--backend", backend, "--name", name, "--port", "0")
        log = ("--log-file", str(logs / "gateway.log"))
        with (
            step("Big and Little: the device asks the big model where that pays"),
            service("ml4iot-gateway", *gateway, *log, address=r"http://[^\s,;()]+") as big,
        ):
            little = str(place / "pushed" / "demo-little.bundle")
            edge_lines("run", little, "--big", big, "--summary", inputs=clips)


def together(place: Path, broker: str, clips: list[Path]) -> None:
    """Two devices with different models decide together."""
    with step("Cooperation: two devices decide together over MQTT"):
        pushed = place / "pushed"
        first, second = (str(pushed / f"{name}.bundle") for name in _MEMBERS)
        with node(first, "--broker", broker), node(second, "--broker", broker):
            ensemble = ("--ensemble", str(pushed / "cooperation.json"))
            edge_lines("cooperate", "ask", "--broker", broker, *ensemble, "--summary", inputs=clips)


if __name__ == "__main__":
    sys.exit(main())
