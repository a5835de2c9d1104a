"""A rollout as a person reads it: a table of its groups, and a line for each transition."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from serving.registry.rollouts.rollout_counts import COUNTED

_BAR = 12  # characters
_NUMBERS = ("devices", "active", "failed", "begun", "away")
_COLOURS = {
    "running": "cyan",
    "paused": "yellow",
    "finished": "green",
    "reverted": "red",
    "aborted": "red",
}


def overview(rollouts: list[dict[str, Any]]) -> Table:
    """A line a rollout."""
    table = Table("rollout", "model", "channel", "version", "status", "group", box=box.SIMPLE)
    for each in rollouts:
        table.add_row(
            each["id"],
            each["model"],
            each["channel"],
            f"{each['before']} → {each['version']}",
            Text(each["status"], _COLOURS[each["status"]]),
            f"{each['groups'][each['reached']]['name']} "
            f"({each['reached'] + 1} of {len(each['groups'])})",
        )
    return table


def details(rollout: dict[str, Any]) -> RenderableType:
    """Its groups and how their devices stand, then all that has happened."""
    status = rollout["status"]
    head = Text.assemble(
        f"rollout {rollout['id']}: {rollout['model']} {rollout['before']} → {rollout['version']} "
        f"on {rollout['channel']}, ",
        (status, _COLOURS[status]),
    )
    asked = (
        f"success {rollout['success']:g}, errors {rollout['errors']:g}, minimum "
        f"{rollout['minimum']}, patience {rollout['patience_s']:g} s"
    )
    if status in ("running", "paused"):
        asked += f" (of which {rollout['waited_s']:.0f} s have gone by)"
    table = Table(box=box.SIMPLE)
    for column in ("group", "who", "", *_NUMBERS):
        table.add_column(
            column, no_wrap=not column, justify="right" if column in _NUMBERS else "left"
        )
    for group in rollout["groups"]:
        counts = group["counts"]
        table.add_row(
            group["name"],
            who(group),
            _bar(counts) if group["reached"] else Text("not yet", "dim"),
            *(str(counts[each]) for each in COUNTED),
        )
    return Group(head, Text(asked), table, *(Text(event_line(e)) for e in rollout["history"]))


def event_line(event: dict[str, Any]) -> str:
    """One transition."""
    line = f"{event['at']} {event['what']} by {event['by']} in group {event['group']}"
    return f"{line}: {event['why']}" if event["why"] else line


def who(group: dict[str, Any]) -> str:
    """Whom a group includes."""
    if group["share"] is not None:
        return f"{group['share']:.3g} of all"
    names = group["devices"]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _bar(counts: dict[str, int]) -> Text:
    """Active, failed and begun as parts of all."""
    bar = Text()
    members = counts["members"]
    left = _BAR
    for name, colour in (("active", "green"), ("failed", "red"), ("begun", "yellow")):
        # One of very many is still to be seen.
        wide = min(left, -(-counts[name] * _BAR // members)) if members else 0
        bar.append("━" * wide, colour)
        left -= wide
    return bar.append("━" * left, "dim")
