"""Looks at what is active on every device, all the time: it must be whole, and what was pushed."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from edge_client.fleet.installed.home import Home

EVERY_S = 0.005


class Lookout:
    """A thread that reads the active slot of every device as whoever loads a model would.

    It does so by itself, without the device's own code; a slot is what a link named ``active``
    leads to.
    """

    def __init__(self, homes: Sequence[Home], model: str) -> None:
        """Looks at nothing yet.

        Args:
            homes: of the devices, on which nothing needs to be installed yet.
            model: the name of what is looked at.
        """
        self._links = [home.model(model) / "active" for home in homes]
        self._bundle = f"{model}.bundle"
        self._changed = threading.Condition()
        self._expected: dict[str, str] = {}  # SHA-256, by version
        self._active: list[str | None] = [None] * len(self._links)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._look, name="lookout", daemon=True)
        self.faults: list[str] = []
        self.looks = 0

    def __enter__(self) -> Lookout:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ending.set()
        self._thread.join()

    def expect(self, version: str, sha256: str) -> None:
        """This version may be active from now on, too.

        So may earlier ones: a device that takes a new version in place of one that has not proved
        itself goes by the one before that meanwhile.
        """
        with self._changed:
            self._expected[version] = sha256

    def active(self) -> list[str | None]:
        """The version on each device, by the last look."""
        with self._changed:
            return list(self._active)

    def wait(self, version: str, seconds: float) -> bool:
        """Whether all devices come to this version within so many seconds, and nothing is wrong."""
        with self._changed:
            self._changed.wait_for(
                lambda: self.faults or all(each == version for each in self._active), seconds
            )
            return not self.faults and all(each == version for each in self._active)

    def _look(self) -> None:
        while not self._ending.wait(EVERY_S):
            for number, link in enumerate(self._links):
                with self._changed:
                    expected, had = dict(self._expected), self._active[number]
                if had is None and _leads_to(link) is None:
                    continue  # the first version is still to come
                version, fault = self._at(link, expected)
                with self._changed:
                    self.looks += 1
                    if fault:
                        self._fault(f"device {number + 1}: {fault}")
                    elif version != had:
                        self._active[number] = version
                        self._changed.notify_all()

    def _fault(self, fault: str) -> None:
        if fault not in self.faults:  # once is enough for what is seen all the time
            self.faults.append(fault)
            self._changed.notify_all()

    def _at(self, link: Path, expected: dict[str, str]) -> tuple[str, str]:
        """The version and what is wrong with it, which is nothing where it is empty."""
        while True:
            before = _leads_to(link)
            if before is None:
                return "", "nothing is active"
            version, fault = self._read(link, expected)
            # Of a link that has moved meanwhile, the slot may have gone while we read it.
            if not fault or _leads_to(link) == before:
                return version, fault
            time.sleep(0)

    def _read(self, link: Path, expected: dict[str, str]) -> tuple[str, str]:
        try:
            slot = json.loads((link / "slot.json").read_bytes())
            data = (link / self._bundle).read_bytes()
        except (OSError, ValueError) as error:
            return "", f"the active slot cannot be read: {error}"
        version, digest = str(slot["version"]), hashlib.sha256(data).hexdigest()
        if version not in expected:
            return version, f"{version} is active, which was never pushed"
        if digest != expected[version] or slot["sha256"] != digest:
            return version, f"{version} is active with another content than was pushed"
        return version, ""


def _leads_to(link: Path) -> tuple[str, int] | None:
    try:
        return str(link.readlink()), link.lstat().st_ino
    except OSError:
        return None
