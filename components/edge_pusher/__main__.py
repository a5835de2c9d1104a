"""Signs bundles that were made earlier and pushes them into a registry.

`tfx run create` does this by itself where ML4IOT_REGISTRY is set; this is for bundles that lie in
a folder, such as those of another machine's run. A bundle is taken when it carries what its
pipeline measured, and every budget in it was kept.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from components.constraint_evaluator.budgets import number
from components.edge_pusher.registry import RegistryTarget, key_paths
from components.edge_pusher.upload import push_signed
from components.errors import InputError
from components.pushing import PushError
from edge_client.bundle import Budget, BundleError, read_bundle
from edge_client.bundle.file import MAX_BUNDLE_BYTES
from edge_client.cli.parser import OneLineParser
from edge_client.files import read_input

_EPILOG = """\
Each option may be given as an environment variable, as `tfx run create` takes it: ML4IOT_REGISTRY,
ML4IOT_REGISTRY_TOKEN_FILE, ML4IOT_TARGETS_KEY, ML4IOT_REGISTRY_ROOT, ML4IOT_CHANNEL.
A registry whose root wants several signatures of targets takes that many keys: --targets-key once
for each, or their paths in ML4IOT_TARGETS_KEY, separated as those of PATH are.
Exit status: 0 when all is in the registry, 2 when something is not.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 when all is in the registry, 2 when something is not."""
    parser = OneLineParser(
        prog="ml4iot-push",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundles", nargs="+", type=Path, metavar="BUNDLE")
    _option(parser, "--registry", "ML4IOT_REGISTRY", "URL")
    _option(parser, "--token-file", "ML4IOT_REGISTRY_TOKEN_FILE", "FILE")
    keys = key_paths(os.environ.get("ML4IOT_TARGETS_KEY", ""))
    parser.add_argument(
        "--targets-key",
        action="append",
        metavar="TARGETS.pem",
        required=not keys,
        help="may be repeated; default: $ML4IOT_TARGETS_KEY",
    )
    _option(parser, "--root", "ML4IOT_REGISTRY_ROOT", "ROOT.json")
    _option(parser, "--channel", "ML4IOT_CHANNEL", "NAME", "canary")
    asked = parser.parse_args(arguments)
    try:
        target = RegistryTarget(
            asked.registry,
            asked.token_file,
            tuple(asked.targets_key or keys),
            asked.root,
            asked.channel,
        )
        for path in asked.bundles:
            _push(path, target)
    except InputError as error:
        print(f"ml4iot-push: {error}", file=sys.stderr)
        return 2
    return 0


def _option(
    parser: argparse.ArgumentParser, flag: str, variable: str, metavar: str, default: str = ""
) -> None:
    given = os.environ.get(variable) or default
    parser.add_argument(
        flag,
        metavar=metavar,
        default=given,
        required=not given,
        help=f"default: {default or f'${variable}'}",
    )


def _push(path: Path, target: RegistryTarget) -> None:
    """Pushes one bundle; raises ``PushError``."""
    try:
        data = read_input(path, MAX_BUNDLE_BYTES, "bundle", BundleError)
        manifest = read_bundle(data).manifest
    except BundleError as error:
        raise PushError(f"{path}: not pushed, for a device would refuse it: {error}") from None
    if not manifest.budgets:
        raise PushError(f"{path}: not pushed, for it was made to keep no budget")
    for budget in manifest.budgets:
        if not _kept(budget):
            raise PushError(
                f"{path}: not pushed, for it misses a budget: {budget.metric} is "
                f"{number(budget.measured)}, required {budget.comparison} {number(budget.required)}"
            )
    receipt = push_signed(target, data, manifest)
    there = "" if receipt.new else ", which was there already"
    print(f"{manifest.name} {manifest.version} in {target.url}, channel {receipt.channel}{there}")


def _kept(budget: Budget) -> bool:
    if budget.comparison == ">":
        return budget.measured > budget.required
    return budget.measured < budget.required


if __name__ == "__main__":
    sys.exit(main())
