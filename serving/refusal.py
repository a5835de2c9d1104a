"""Why a request is not answered with what it asked for, as the client is told it."""

from __future__ import annotations

MAX_MESSAGE = 500  # characters, of what a backend or a parser says


class Refusal(Exception):
    """A request that is not answered with 200; the message is one line for the client."""

    status = 500

    def __init__(self, message: str) -> None:
        line = " ".join(message.split())
        super().__init__(line if len(line) <= MAX_MESSAGE else line[:MAX_MESSAGE] + "...")

    def headers(self) -> dict[str, str]:
        """What goes into the answer's head."""
        return {}
