"""The demo's fleet of one: a registry that takes signed pushes, and a device that pulls."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.demo.commands import run, service, type_out
from pipeline.demo.shown import console

CHANNEL = "canary"


@dataclass(frozen=True)
class Fleet:
    """A running registry, and the folders that its operator and its device keep."""

    folder: Path
    url: str
    broker: str

    @property
    def environment(self) -> dict[str, str]:
        """What makes `tfx run create` sign what is blessed and push it here."""
        return {
            "ML4IOT_REGISTRY": self.url,
            "ML4IOT_REGISTRY_TOKEN_FILE": str(self.folder / "token"),
            "ML4IOT_TARGETS_KEY": str(self.folder / "keys" / "targets.pem"),
            "ML4IOT_REGISTRY_ROOT": str(self.folder / "keys" / "root.json"),
            "ML4IOT_CHANNEL": CHANNEL,
        }

    @property
    def device(self) -> str:
        """The folder a device installs its models in."""
        return str(self.folder / "device")

    def enrol(self, *models: str) -> None:
        """Gives the device the root that it is to trust."""
        root = str(self.folder / "keys" / "root.json")
        follow = [part for model in models for part in ("--model", f"{model}:{CHANNEL}")]
        where = ("--registry", self.url, "--broker", self.broker, "--root", root)
        _typed("ml4iot-edge", "enrol", *where, "--id", "demo", *follow, "--home", self.device)

    def pull(self) -> None:
        """Brings the device to what the channel offers."""
        _typed("ml4iot-edge", "pull", "--home", self.device)

    def show(self) -> None:
        """What the registry keeps."""
        _typed("ml4iot-registry", "list", "--registry", self.url)


@contextmanager
def fleet(folder: Path, log: Path, broker: str) -> Iterator[Fleet]:
    """A new registry in ``folder`` that serves until the block is left.

    A registry of an earlier demo goes first: its versions could not be replaced by other models.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    registry = str(folder / "registry")
    _typed("ml4iot-registry", "init", registry, "--keys", str(folder / "keys"), quiet=True)
    token = _typed(
        "ml4iot-registry", "token", "add", registry, "demo", "--role", "push", quiet=True
    )
    (folder / "token").touch(0o600)
    (folder / "token").write_text(token)
    serve = ("serve", registry, "--port", "0", "--broker", broker, "--log-file", str(log))
    with service("ml4iot-registry", *serve, address=r"http://[^\s,;()]+") as url:
        yield Fleet(folder, url, broker)


def _typed(program: str, *arguments: str, quiet: bool = False) -> str:
    """Runs a command as a user would; gives what it printed, which is shown unless ``quiet``."""
    type_out(program, *arguments)
    said = run(program, *arguments)
    if not quiet:
        console.print(said.rstrip(), highlight=False, soft_wrap=True, markup=False)
    return said
