"""The slow model: a device's bundle on its full front end, run in the gateway itself."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edge_client.bundle import read_bundle
from edge_client.payload import Recording
from edge_client.predictor import AudioPredictor
from serving.gateway.errors import BusyError, TooSlowError
from serving.gateway.tensorflow_serving import Answer


class SlowModel:
    """A keyword model of a bundle; one thread, for its interpreter takes no more."""

    def __init__(self, file: Path, queue: int, timeout_s: float) -> None:
        """Raises EdgeError for a file that is no bundle of a keyword model."""
        bundle = read_bundle(file)
        self.name = bundle.manifest.name
        self._predictor = AudioPredictor(bundle, str(file))
        self.samples = self._predictor.input.samples
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="slow-model")
        self._queue, self._timeout_s = queue, timeout_s
        self._waiting = 0

    async def answer(self, recording: Recording, since: float) -> Answer:
        """Raises `BusyError` or `TooSlowError`; the time runs from `since`, by the loop's clock."""
        if self._waiting >= self._queue:
            raise BusyError("too many requests are waiting; try again later", after_s=1)
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            work = loop.run_in_executor(self._thread, self._predict, recording)
            # What has not begun when the time is up, or the client gone, never begins.
            return await asyncio.wait_for(work, since + self._timeout_s - loop.time())
        except asyncio.TimeoutError as error:
            raise TooSlowError("no answer in time") from error
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Lets go of the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _predict(self, recording: Recording) -> Answer:
        scores = self._predictor(recording.audio, recording.rate)
        # Six digits are what a TensorFlow Serving answer has as well.
        probabilities = tuple(float(f"{each:.6g}") for each in scores.scores.tolist())
        return Answer(scores.label, self._predictor.labels, probabilities)
