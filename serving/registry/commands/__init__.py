"""The commands of ``ml4iot-registry``: a module each, or one for a group of them."""

from __future__ import annotations

import argparse
from typing import Protocol


class Subparsers(Protocol):
    """What argparse's ``add_subparsers`` gives."""

    def add_parser(
        self,
        name: str,
        *,
        help: str,
        description: str,
        epilog: str | None = None,
        formatter_class: type[argparse.HelpFormatter] = argparse.RawDescriptionHelpFormatter,
    ) -> argparse.ArgumentParser:
        """Another command."""
