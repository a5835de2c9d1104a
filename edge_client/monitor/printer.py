"""Alarms as lines for a person, each once however often it arrives."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable

from edge_client.monitor.alarm import AlarmError, read_alarm
from edge_client.mqtt.messages import Arrived

_REMEMBERED = 10_000  # alarms, of which another copy may come


class Printer:
    """Prints what arrives, on the MQTT thread.

    The broker is told that an alarm has arrived only when it has been printed: what is lost with
    this process comes again.
    """

    def __init__(
        self,
        show: Callable[[str], None],
        on_other: Callable[[AlarmError], None],
        on_failure: Callable[[OSError], None],
    ) -> None:
        """Nothing has arrived yet.

        Args:
            show: prints a line.
            on_other: gets what is wrong with a message that is no alarm.
            on_failure: gets the error when lines can be printed no more; none is any more.
        """
        self.printed = 0
        self._show, self._on_other, self._on_failure = show, on_other, on_failure
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._failed = False

    def __call__(self, said: Arrived) -> bool:
        """Takes one message; False where it is an alarm that could not be printed."""
        if self._failed:
            return False
        try:
            alarm = read_alarm(said.payload)
        except AlarmError as error:
            self._on_other(error)
            return True
        # At QoS 1 a message comes at least once: again when the broker was lost on the way.
        mark = hashlib.sha256(said.topic.encode() + b"\0" + said.payload).digest()
        # Without a time two alarms may be the same: rather one of them twice than not at all.
        if alarm.dated and mark in self._known:
            return True
        try:
            self._show(alarm.line())
        except OSError as error:
            self._failed = True
            self._on_failure(error)
            return False
        self.printed += 1
        self._known[mark] = None
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return True
