"""Reads, forecasts, compares what was forecast with what came, and tells where they differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from edge_client.monitor.alarm import Alarm, Thresholds
from edge_client.monitor.forecaster import Float32, Forecaster
from edge_client.monitor.quantities import MONITORED
from edge_client.monitor.report import Tally
from edge_client.monitor.schedule import Tick
from edge_client.monitor.sensor import Sample, Sensor, SensorFault
from edge_client.monitor.window import Window


class Monitor:
    """Watches one sensor with one model.

    Every whole window gives a forecast, and its step ``ahead`` is compared with the sample that
    comes so many ticks after the window, if one does: each sample is compared once at most.
    """

    def __init__(
        self,
        forecaster: Forecaster,
        device: str,
        thresholds: Thresholds,
        on_sample: Callable[[Sample], None],
        on_alarm: Callable[[Alarm], bool],
        on_fault: Callable[[SensorFault], None],
        ahead: int = 1,
        follow: Callable[[], Forecaster | None] = lambda: None,
    ) -> None:
        """Reads nothing yet; see :meth:`run`.

        Args:
            forecaster: the model.
            device: whose alarms they are.
            thresholds: above which there are any; they may be replaced while it runs.
            on_sample: gets each sample.
            on_alarm: gets each alarm; whether it could be passed on.
            on_fault: gets what a sensor has to say that gave nothing.
            ahead: step of the forecast, from 1 to the forecaster's ``output_steps``.
            follow: called before every sample; another model when there is one to go on with.
        """
        self.thresholds = thresholds
        self.tally = Tally()
        self._forecaster, self._follow = forecaster, follow
        self._device, self._ahead = device, ahead
        self._on_sample, self._on_alarm, self._on_fault = on_sample, on_alarm, on_fault
        self._window = Window(forecaster.input_steps)
        # By the index of the sample to come: [2], and the model that forecast it.
        self._forecasts: dict[int, tuple[Float32, str]] = {}
        self._last: int | None = None  # index of the last sample, ...
        self._unread = 0  # ... and ticks since without one

    def run(self, sensor: Sensor, ticks: Iterable[Tick]) -> None:
        """Watches until the ticks or the samples end; raises :class:`ModelError`."""
        for tick in ticks:
            try:
                sample = sensor.sample(tick)
            except SensorFault as fault:
                self.tally.unread += 1
                self._unread += 1
                self._on_fault(fault)
                continue
            if sample is None:
                break
            self._follow_on()
            self._take(sample)

    def _follow_on(self) -> None:
        other = self._follow()
        if other is None:
            return
        if other.input_steps != self._forecaster.input_steps:
            self._window = Window(other.input_steps)
        self._forecaster = other

    def _take(self, sample: Sample) -> None:
        tally, last = self.tally, self._last
        tally.samples += 1
        if last is not None:
            tally.skipped += max(0, sample.index - last - 1 - self._unread)
        self._last, self._unread = sample.index, 0
        self._on_sample(sample)
        tally.not_finite += not sample.whole
        self._compare(sample)
        if self._window.add(sample):
            tally.windows += 1
            self._forecast(sample.index + self._ahead)

    def _forecast(self, index: int) -> None:
        forecast = self._forecaster(self._window.values())[self._ahead - 1]
        if np.isfinite(forecast).all():
            self._forecasts[index] = forecast, self._forecaster.name
        else:
            self.tally.bad_forecasts += 1

    def _compare(self, sample: Sample) -> None:
        found = self._forecasts.pop(sample.index, None)
        # What was forecast for samples that never came is of no use any more.
        self._forecasts = {i: f for i, f in self._forecasts.items() if i > sample.index}
        if found is None or not sample.whole:
            return
        forecast, model = found
        self.tally.compared += 1
        for quantity, predicted, actual in zip(
            MONITORED, forecast.tolist(), sample.values, strict=True
        ):
            error, threshold = abs(predicted - actual), self.thresholds.of(quantity)
            self.tally.compare(quantity, error, alarm=error > threshold)
            if error > threshold:
                alarm = Alarm(
                    quantity,
                    predicted,
                    actual,
                    threshold,
                    sample.time,
                    self._device,
                    model,
                )
                self.tally.unsaid += not self._on_alarm(alarm)
