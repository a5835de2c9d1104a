"""The commands about models, over HTTP: list, describe, activate, retire."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edge_client.fleet.names import check_name
from serving.registry.client import RegistryClient
from serving.registry.commands import Subparsers


def add_parsers(subparsers: Subparsers) -> None:
    """Adds the commands."""
    text = "Lists models, their versions and what their channels offer."
    listing = subparsers.add_parser("list", help="list models", description=text)
    add_registry_arguments(listing)
    listing.set_defaults(run=list_models)

    text = "Says of a model's versions who pushed them, when, from which run, and what was proven."
    describing = subparsers.add_parser("describe", help="describe a model", description=text)
    describing.add_argument("model", metavar="MODEL")
    describing.add_argument("version", nargs="?", metavar="VERSION", help="only this one")
    add_registry_arguments(describing)
    describing.set_defaults(run=describe)

    text = "Makes a channel offer a version to all its devices at once."
    activating = subparsers.add_parser("activate", help="move a channel", description=text)
    activating.add_argument("model", metavar="MODEL")
    activating.add_argument("version", metavar="VERSION")
    activating.add_argument("--channel", required=True)
    add_registry_arguments(activating, token=True)
    activating.set_defaults(run=activate)

    text = "Makes a version one that no channel can offer any more."
    retiring = subparsers.add_parser("retire", help="retire a version", description=text)
    retiring.add_argument("model", metavar="MODEL")
    retiring.add_argument("version", metavar="VERSION")
    add_registry_arguments(retiring, token=True)
    retiring.set_defaults(run=retire)


def add_registry_arguments(parser: argparse.ArgumentParser, token: bool = False) -> None:
    """How a registry is reached; with a token for commands that change it."""
    url = "http://127.0.0.1:8600"
    parser.add_argument("--registry", default=url, metavar="URL", help="default: %(default)s")
    parser.add_argument("--token-file", type=Path, required=token, metavar="FILE")


def list_models(arguments: argparse.Namespace) -> int:
    """One line a model."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    with RegistryClient(arguments.registry, arguments.token_file) as registry:
        models = registry.get("/models")["models"]
    table = Table("model", "versions", "channels", box=box.SIMPLE)
    for model in models:
        names = [_version_name(version) for version in model["versions"]]
        channels = [_offer(channel) for channel in model["channels"]]
        table.add_row(model["name"], "\n".join(names), "\n".join(channels))
    Console().print(table if models else "no models yet")
    return 0


def describe(arguments: argparse.Namespace) -> int:
    """A paragraph a version."""
    path = f"/models/{check_name(arguments.model, 'model')}"
    if arguments.version is not None:
        path += f"/versions/{check_name(arguments.version, 'version')}"
    with RegistryClient(arguments.registry, arguments.token_file) as registry:
        answer = registry.get(path)
    versions = [answer] if arguments.version is not None else answer["versions"]
    print("\n\n".join(_paragraph(version) for version in versions))
    for channel in answer.get("channels", []) if arguments.version is None else []:
        print(f"channel {_offer(channel)}")
    return 0


def activate(arguments: argparse.Namespace) -> int:
    """Moves a channel."""
    model, version, channel = _names(arguments, "model", "version", "channel")
    with RegistryClient(arguments.registry, arguments.token_file) as registry:
        done = registry.put(f"/models/{model}/channels/{channel}", {"version": version})
    print(f"channel {channel} of {model} offers {version} (serial {done['serial']})")
    return 0


def retire(arguments: argparse.Namespace) -> int:
    """Retires a version."""
    model, version = _names(arguments, "model", "version")
    with RegistryClient(arguments.registry, arguments.token_file) as registry:
        registry.post(f"/models/{model}/versions/{version}/retire")
    print(f"{model} {version} is retired")
    return 0


def _names(arguments: argparse.Namespace, *what: str) -> list[str]:
    return [check_name(getattr(arguments, each), each) for each in what]


def _version_name(version: dict[str, Any]) -> str:
    return f"{version['version']} (retired)" if version["retired"] else version["version"]


def _offer(channel: dict[str, Any]) -> str:
    text = f"{channel['channel']}: {channel['version'] or 'nothing'}"
    if channel["rollout"] is not None:
        rollout = channel["rollout"]
        text += f", rollout {rollout['id']} of {rollout['version']}"
    return text


def _paragraph(version: dict[str, Any]) -> str:
    lines = [
        f"{version['model']} {_version_name(version)}",
        f"  pushed by {version['pushed_by']} at {version['pushed_at']}",
        f"  from run {version['run_id']} of {version['pipeline']}",
        f"  {version['bytes']} bytes, SHA-256 {version['sha256']}",
    ]
    for budget in version["budgets"]:
        proven = f"{budget['measured']:g} {budget['comparison']} {budget['required']:g}"
        lines.append(f"  {budget['metric']}: {proven} {budget['unit']}".rstrip())
    if version["channels"]:
        lines.append(f"  offered on {', '.join(version['channels'])}")
    return "\n".join(lines)
