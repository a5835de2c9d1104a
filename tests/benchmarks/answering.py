"""A process that uses an installed model, and tells when each version gave its first answer.

    python -m tests.benchmarks.answering HOME MODEL

It runs the first golden input of the bundle over and over, as ``ml4iot-edge run`` would run what a
microphone hears, and follows whatever is switched to.  One JSON object a line on standard output,
for the first answer of every version: ``{"version": ..., "moment": ...}``, the latter in seconds
of the clock that all processes of a machine share and nobody sets.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from edge_client.errors import EdgeError
from edge_client.fleet.installed.home import Home
from edge_client.fleet.use.in_use import ModelInUse, load_installed
from edge_client.predictor import AudioPredictor, RecordPredictor

PAUSE_S = 0.01  # between two answers: a device that listens has its processor to itself otherwise


def answer(model: ModelInUse[AudioPredictor | RecordPredictor]) -> None:
    """Lets the model answer its first golden input once."""
    golden, predictor = model.bundle.manifest.golden[0], model.predictor
    if isinstance(predictor, AudioPredictor):
        predictor(np.frombuffer(golden.input, "<i2"), predictor.input.sample_rate)
    else:
        shape = (predictor.window.input_steps, -1)
        predictor(np.frombuffer(golden.input, "<f4").reshape(shape))


def main() -> int:
    """Answers until whoever reads is gone."""
    home, name = Home(Path(sys.argv[1])), sys.argv[2]
    told = None

    def complain(line: object) -> None:
        print(line, file=sys.stderr, flush=True)

    try:
        with ModelInUse(home, name, load_installed, complain) as model:
            while True:
                model.follow()
                answer(model)
                if model.version != told:
                    told = model.version
                    print(json.dumps({"version": told, "moment": time.monotonic()}), flush=True)
                time.sleep(PAUSE_S)
    except EdgeError as error:
        complain(error)
        return 2
    except (BrokenPipeError, KeyboardInterrupt):
        return 0


if __name__ == "__main__":
    sys.exit(main())
