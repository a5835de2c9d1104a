"""A device in the userland takes a signed model from a registry outside, and answers with it."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

from serving.options import UsageError
from serving.registry.launcher import start_registry
from serving.registry.options import RegistryOptions
from tests.pi.install import CHECKOUT, EDGE
from tests.pi.process import PiError, checked
from tests.pi.userland import Userland

_MODEL = "kws-a"  # it has no budget in milliseconds, which emulation could not keep
_HOME = "/root/edge-home"


def signed_pull(userland: Userland, repository: Path, say: Callable[[str], None]) -> bool:
    """Enrols, pulls, predicts and measures; whether all of it went well.

    Args:
        userland: with edge_client in it.
        repository: the checkout.
        say: tells the user a step.

    Raises:
        PiError: the registry does not start, or does not take the model.
    """
    inside = userland.root / _HOME.lstrip("/")
    shutil.rmtree(inside, ignore_errors=True)
    inside.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder, _registry(Path(folder)) as url:
        keys = Path(folder) / "keys"
        _push(repository / f"models/{_MODEL}.bundle", url, Path(folder))
        shutil.copy(keys / "root.json", inside / "root.json")
        home = ["--home", _HOME]
        enrolment = ["--registry", url, "--root", f"{_HOME}/root.json", "--id", "pi"]
        held = True
        for arguments in (
            ["enrol", *enrolment, "--model", f"{_MODEL}:canary", *home],
            ["pull", *home],
            ["predict", *home, _MODEL, f"{CHECKOUT}/clip.wav"],
            ["bench", *home, _MODEL],
        ):
            _silence(userland.root / CHECKOUT.lstrip("/") / "clip.wav")
            done = userland.run([EDGE, *arguments])
            lines = (done.stdout + done.stderr).strip().splitlines() or ["(nothing)"]
            say(f"  ml4iot-edge {arguments[0]}: {lines[0] if done.returncode == 0 else lines[-1]}")
            held &= done.returncode == 0
    return held


@contextlib.contextmanager
def _registry(folder: Path) -> Iterator[str]:
    """A new registry that serves on a free port; gives its URL."""
    command = [sys.executable, "-m", "serving.registry"]
    checked([*command, "init", str(folder / "registry"), "--keys", str(folder / "keys")])
    token = checked([*command, "token", "add", str(folder / "registry"), "pi", "--role", "push"])
    (folder / "token").write_text(token.strip().splitlines()[-1] + "\n")
    options = RegistryOptions(folder / "registry", port=0, log_file=folder / "registry.log")
    try:
        with start_registry(options) as registry:
            yield registry.url
    except (UsageError, TimeoutError) as error:
        raise PiError(f"the registry did not start: {error}") from None


def _push(bundle: Path, url: str, folder: Path) -> None:
    keys = folder / "keys"
    where = ["--registry", url, "--token-file", str(folder / "token")]
    trust = ["--targets-key", str(keys / "targets.pem"), "--root", str(keys / "root.json")]
    checked([sys.executable, "-m", "components.edge_pusher", str(bundle), *where, *trust])


def _silence(path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(bytes(32000))
