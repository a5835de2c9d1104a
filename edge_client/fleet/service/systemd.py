"""What a service tells systemd: that it is ready, what it is doing, that it is alive.

The protocol of sd_notify(3): datagrams of ``NAME=value`` lines to the socket systemd names in the
environment.  Without one, as when a person starts the service by hand, nothing is sent.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

_LONGEST = 200  # characters of a status line


class Notifier:
    """Speaks to the service manager that started this process, if any did."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Reads ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID``; opens nothing."""
        address = environment.get("NOTIFY_SOCKET", "")
        # A name that begins with @ is one of Linux's abstract ones.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog_s = _watchdog_s(environment)

    def ready(self) -> None:
        """The service does its work from now on."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """One line for ``systemctl status``."""
        self._send(f"STATUS={' '.join(text.split())[:_LONGEST]}")

    def alive(self) -> None:
        """Feeds the watchdog; wanted within every :attr:`watchdog_s`."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """The service is about to end on purpose."""
        self._send("STOPPING=1")

    def _send(self, line: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.settimeout(1)
            try:
                channel.sendto(line.encode(), self._address)
            except OSError:  # a manager that does not listen is no reason to stop serving
                return


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """Seconds within which systemd wants to hear from this very process; None where it does not."""
    text, whose = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not (text.isascii() and text.isdecimal() and int(text)) or whose not in (
        "",
        str(os.getpid()),
    ):
        return None
    return int(text) / 1e6
