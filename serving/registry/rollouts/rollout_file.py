"""Rollouts as JSON: in the registry's folder, and as the routes show them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edge_client.fields import FieldError, Fields, strict_json
from edge_client.fleet.names import NAME
from serving.registry.log import log
from serving.registry.rollouts.rollout import MAX_EVENTS, Event, StagedRollout, Status
from serving.registry.rollouts.rollout_counts import COUNTED, Counts
from serving.registry.rollouts.rollout_plan import Group, Plan

MAX_GROUPS = 20
MAX_NAMED = 1000  # devices of one group; larger groups are shares
MAX_BYTES = 4 * 2**20
MAX_PATIENCE_S = 30 * 86400.0
MAX_MEMBERS = 10**9


def to_json(rollout: StagedRollout) -> dict[str, Any]:
    """JSON-able values; :func:`parse` reads their text back."""
    plan = rollout.plan
    return {
        "id": rollout.id,
        "model": plan.model,
        "channel": plan.channel,
        "version": plan.version,
        "before": rollout.before,
        "status": rollout.status.value,
        "reached": rollout.reached,
        "groups": [_group_to_json(group) for group in plan.groups],
        "success": plan.success,
        "errors": plan.errors,
        "minimum": plan.minimum,
        "patience_s": plan.patience_s,
        "waited_s": round(rollout.waited_s, 3),
        "history": [event_to_json(event) for event in rollout.history],
    }


def counts_to_json(counts: Counts) -> dict[str, int]:
    """JSON-able values."""
    return {each: getattr(counts, each) for each in COUNTED}


def event_to_json(event: Event) -> dict[str, Any]:
    """JSON-able values."""
    return {
        "at": event.at,
        "what": event.what,
        "by": event.by,
        "group": event.group,
        "counts": counts_to_json(event.counts),
        "why": event.why,
    }


def serialise(rollout: StagedRollout) -> bytes:
    """The file's content."""
    return json.dumps(to_json(rollout), indent=1).encode() + b"\n"


def parse(data: bytes) -> StagedRollout:
    """Reads such a file.

    Raises:
        ValueError: it is none; the message says what is wrong.
    """
    if len(data) > MAX_BYTES:
        raise FieldError(f"rollout: larger than the {MAX_BYTES} bytes that are taken")
    with Fields(strict_json(data), "rollout") as fields:
        plan = Plan(
            model=fields.text("model", NAME),
            channel=fields.text("channel", NAME),
            version=fields.text("version", NAME),
            groups=tuple(_group(part) for part in fields.mappings("groups", MAX_GROUPS)),
            success=_share(fields, "success"),
            errors=_share(fields, "errors"),
            minimum=fields.whole("minimum", 1, MAX_MEMBERS),
            patience_s=fields.number("patience_s", least=0),
        )
        if not plan.groups or plan.groups[-1].share != 1:
            raise FieldError("rollout.groups: the last one is not everybody")
        return StagedRollout(
            id=fields.text("id", NAME),
            plan=plan,
            before=None if fields.absent("before") else fields.text("before", NAME),
            status=Status(fields.choice("status", [each.value for each in Status])),
            reached=fields.whole("reached", 0, len(plan.groups) - 1),
            waited_s=fields.number("waited_s", least=0),
            history=tuple(_event(part) for part in fields.mappings("history", MAX_EVENTS)),
        )


def read_all(folder: Path) -> dict[str, StagedRollout]:
    """Those whose files can be read; the others are told in the log."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        try:
            rollout = parse(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            log.error("%s: no rollout (%s); left aside", path, error)
            continue
        if path.name == f"{rollout.id}.json":
            found[rollout.id] = rollout
    return found


def _group_to_json(group: Group) -> dict[str, Any]:
    if group.share is None:
        return {"name": group.name, "devices": list(group.devices)}
    return {"name": group.name, "share": group.share}


def _group(part: Fields) -> Group:
    with part:
        name = part.text("name", NAME)
        if part.missing("share"):
            return Group(name, part.texts("devices", 1, MAX_NAMED))
        return Group(name, share=_share(part, "share"))


def _share(fields: Fields, name: str) -> float:
    value = fields.number(name, least=0)
    if value > 1:
        raise FieldError(f"{fields.where}.{name}: {value:g} where 0 to 1 is wanted")
    return value


def _event(part: Fields) -> Event:
    with part:
        with part.mapping("counts") as counts:
            counted = Counts(*(counts.whole(each, 0, MAX_MEMBERS) for each in COUNTED))
        return Event(
            at=part.text("at"),
            what=part.text("what"),
            by=part.text("by"),
            group=part.text("group"),
            counts=counted,
            why=part.text("why", shortest=0, longest=500),
        )
