"""Signs the online metadata anew in time, for as long as the registry serves."""

from __future__ import annotations

import math
import threading
import time

from serving.registry.log import log
from serving.registry.tuf.repository import Repository

LOOK_S = 2.0  # also how long a rotation by command takes to be served
CLOSE_S = 10.0
WARN_EVERY_S = 86400.0


class Renewal:
    """A thread that renews what is half through its life, and takes up what a command changed.

    What only the operator can renew it says in the log, every day from a month before.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="renewal", daemon=True)

    def start(self) -> None:
        """Renews what is due, and begins to look; a full disk is told to the log."""
        self._renew()
        self._thread.start()

    def close(self) -> None:
        """Ends it."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
        warned_at = -math.inf
        while True:
            if time.monotonic() - warned_at >= WARN_EVERY_S:
                warned_at = time.monotonic()
                for line in self._repository.expiring():
                    log.warning("%s", line)
            if self._closing.wait(LOOK_S):
                return
            self._renew()

    def _renew(self) -> None:
        try:
            self._repository.renew()
        except Exception:  # a full disk today must not end renewals for ever
            log.exception("the metadata could not be renewed")
