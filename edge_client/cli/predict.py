"""Classify recordings, or forecast records, with the model of a bundle.

One JSON object a line on standard output, and nothing else there:
  recordings: {"path", "label", "scores": {label: probability}, "margin",
               "latency_ms": {"features", "inference", "total"}}
  records:    {"time": unix seconds of the last input record,
               "forecast": [[a number for each quantity] for each step]}
              for every window of consecutive records; none spans a gap or a missing value.

A recording that cannot be read costs one line on standard error; the others are still
classified, and the exit status is 2.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edge_client.cli.messages import say
from edge_client.cli.models import Maker, Opened, add_model_argument, open_model
from edge_client.errors import EdgeError

if TYPE_CHECKING:
    from edge_client.predictor import AudioPredictor, RecordPredictor

HELP = "classify recordings or forecast records"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    add_model_argument(parser)
    parser.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="*",
        help="WAV files (16-bit PCM) and folders of them; or one CSV of records, plain or zipped",
    )
    parser.add_argument("--list", metavar="FILE", help="also the recordings this text file names")
    parser.add_argument(
        "--root",
        metavar="FOLDER",
        help="where the paths of --list begin (default: here); leading folders that a listed "
        "path has and this one lacks are left out",
    )
    parser.add_argument(
        "--last",
        metavar="SHARE",
        type=_share,
        help="only the last of the records, such as 0.1 for the last tenth of the rows",
    )
    parser.add_argument(
        "--summary",
        action="store_true",
        help="end with a line on standard error: accuracy where folders are named as labels, or "
        "mean absolute errors against the records that follow, beside persistence",
    )
    parser.add_argument(
        "--self-test",
        action="store_true",
        help="first run the bundle's golden inputs and compare with what they should give",
    )


def run(chosen: argparse.Namespace) -> int:
    """Runs the command; raises :class:`EdgeError` for wrong use and bad input."""
    with open_model(chosen.bundle, chosen.home, Maker.any) as model:
        return _predict(model, chosen)


def _predict(model: Opened[AudioPredictor | RecordPredictor], chosen: argparse.Namespace) -> int:
    from edge_client.predictor import AudioPredictor

    predictor = model.predictor
    if chosen.self_test:
        from edge_client.self_test import self_test

        passed = self_test(model.bundle, predictor, model.name)
        say(
            f"self-test: {passed.inputs} golden inputs give what they should "
            f"(largest difference {passed.difference:.2g})"
        )
    if not chosen.inputs and not chosen.list:
        if chosen.self_test:
            return 0
        raise EdgeError("no INPUT; name recordings or a CSV, or ask for --self-test")
    if isinstance(predictor, AudioPredictor):
        return _recordings(predictor, chosen)
    return _records(predictor, chosen)


def _recordings(predictor: AudioPredictor, chosen: argparse.Namespace) -> int:
    from edge_client.audio import read_wav
    from edge_client.cli.recordings import Tally, find, line

    if chosen.last is not None:
        raise EdgeError("--last is for records; this bundle takes recordings")
    tally = Tally(predictor.labels)
    failures = 0
    for found in find(chosen.inputs, chosen.list, chosen.root):
        if isinstance(found, EdgeError):
            say(found)
            failures += 1
            continue
        try:
            audio, rate = read_wav(found)
        except EdgeError as error:
            say(error)
            failures += 1
            continue
        heard = predictor(audio, rate)
        tally.add(found, heard)
        scores = dict(zip(predictor.labels, heard.scores, strict=True))
        _print(line(str(found), heard.label, scores, heard.margin, asdict(heard.latency)))
    if chosen.summary:
        sys.stdout.flush()
        say(tally.summary())
    return 2 if failures else 0


def _records(predictor: RecordPredictor, chosen: argparse.Namespace) -> int:
    import numpy as np

    from edge_client.cli.records import errors, summary
    from edge_client.records import read_records, window_starts

    if chosen.list or chosen.root or len(chosen.inputs) != 1:
        raise EdgeError("this bundle takes records: one CSV, plain or zipped, and no --list")
    window = predictor.window
    records = read_records(chosen.inputs[0], window.quantities)
    if chosen.last is not None:
        records = records.last(chosen.last)
    starts = window_starts(records.time, records.values, window, window.input_steps)
    if not len(starts):
        raise EdgeError(
            f"{chosen.inputs[0]}: no {window.input_steps} consecutive records "
            f"{window.interval_s:g} s apart in {len(records)} rows"
        )
    forecasts = []
    for start in starts.tolist():
        stop = start + window.input_steps
        forecast = predictor(records.values[start:stop])
        forecasts.append(forecast.values)
        steps = [[round(value, 4) for value in step] for step in forecast.values.tolist()]
        _print({"time": int(records.time[stop - 1]), "forecast": steps})
    if chosen.summary:
        sys.stdout.flush()
        say(summary(errors(records, window, starts, np.stack(forecasts))))
    return 0


def _print(line: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share above 0 and at most 1")
    return share
