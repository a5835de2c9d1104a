"""What the demo prints: a heading and the time of each step, and tables of some answers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

_SHOWN = 8  # answers of each kind

console = Console()


@contextmanager
def step(title: str) -> Iterator[None]:
    """A heading before, the seconds it took behind."""
    console.rule(title, align="left")
    started = time.monotonic()
    yield
    console.print(f"[dim]{time.monotonic() - started:.1f} s[/]")


def show_words(answers: Sequence[dict[str, Any]]) -> None:
    """A table of some answers and how many of all were right."""
    table = Table("said", "heard", "score", "ms")
    right = 0
    shown = max(1, len(answers) // _SHOWN)
    for number, answer in enumerate(answers):
        said = Path(answer["path"]).parent.name
        right += said == answer["label"]
        if number % shown == 0:
            colour = "green" if said == answer["label"] else "red"
            table.add_row(
                said,
                f"[{colour}]{answer['label']}[/]",
                f"{max(_values(answer['scores'])):.2f}",
                f"{answer['latency_ms']['total']:.2f}",
            )
    console.print(table)
    console.print(f"{right} of {len(answers)} right", highlight=False)


def _values(scores: Any) -> list[float]:
    return list(scores.values()) if isinstance(scores, dict) else list(scores)


def show_forecasts(answers: Sequence[dict[str, Any]]) -> None:
    """A table of a few forecasts."""
    table = Table("last record", "next T °C", "next RH %", title=f"{len(answers)} windows")
    for answer in answers[: _SHOWN // 2]:
        temperature, humidity = zip(*answer["forecast"], strict=True)
        table.add_row(
            str(answer["time"]),
            " ".join(f"{t:.1f}" for t in temperature),
            " ".join(f"{h:.0f}" for h in humidity),
        )
    console.print(table)
