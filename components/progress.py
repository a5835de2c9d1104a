"""Progress of long steps: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_LOG_SECONDS = 15.0


class Bar:
    """Advances by one step at a time."""

    def __init__(self, title: str, total: int, done: int, drawn: Progress | None) -> None:
        self._title, self._total, self._done, self._drawn = title, total, done, drawn
        self._task = drawn.add_task(title, total=total, completed=done) if drawn else None
        self._started = self._logged = time.monotonic()

    def advance(self, note: str = "", by: int = 1) -> None:
        """``by`` more steps are done; ``note`` stands behind the bar."""
        self._done += by
        if self._drawn is not None and self._task is not None:
            description = f"{self._title}  {note}" if note else self._title
            self._drawn.update(self._task, advance=by, description=description)
            return
        now = time.monotonic()
        if now - self._logged >= _LOG_SECONDS or (
            self._done == self._total and now - self._started > 2
        ):
            self._logged = now
            seconds = now - self._started
            print(
                f"{self._title}: {self._done}/{self._total} after {seconds:.0f} s  {note}".rstrip(),
                file=sys.stderr,
                flush=True,
            )


@contextmanager
def progress(title: str, total: int, done: int = 0) -> Iterator[Bar]:
    """A bar of ``total`` steps of which ``done`` were made before."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Bar(title, total, done, None)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as drawn:
        yield Bar(title, total, done, drawn)
