"""The model a command was given: a bundle file, or the name of a model that is installed here."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from edge_client.cli.ending import ended_in_order
from edge_client.cli.messages import native_silence, say

if TYPE_CHECKING:
    from edge_client.bundle.file import Bundle
    from edge_client.features.spec import AudioFeatures
    from edge_client.fleet.errors import FleetError
    from edge_client.fleet.installed.home import Home
    from edge_client.fleet.use.in_use import ModelInUse
    from edge_client.predictor import AudioPredictor, RecordPredictor

_NAMED = 8  # of the installed models, in an error message

P = TypeVar("P")
P_co = TypeVar("P_co", covariant=True)


class Opened(Protocol[P_co]):
    """A model that is loaded."""

    @property
    def bundle(self) -> Bundle:
        """What it was loaded from."""

    @property
    def predictor(self) -> P_co:
        """What was made of it."""

    @property
    def name(self) -> str:
        """What error messages call it."""

    def follow(self) -> bool:
        """Loads another version where another is active by now; whether it did."""


class Maker:
    """Makes predictors of one model, whose answers are counted where it is an installed one."""

    def __init__(self, bundle: Bundle, name: str, use: ModelInUse[P] | None = None) -> None:
        self.bundle, self.name = bundle, name
        self._use = use

    def audio(self, features: AudioFeatures | None = None) -> AudioPredictor:
        """For recordings, perhaps with another front end; raises :class:`ModelError`."""
        if self._use is None:
            from edge_client.predictor import AudioPredictor

            return AudioPredictor(self.bundle, self.name, features)
        from edge_client.fleet.use.in_use import InstalledAudio

        return InstalledAudio(self.bundle, self._use, self.name, features)

    def any(self) -> AudioPredictor | RecordPredictor:
        """For whatever the model takes; raises :class:`ModelError`."""
        if self.bundle.manifest.task == "keyword_spotting":
            return self.audio()
        if self._use is None:
            from edge_client.predictor import RecordPredictor

            return RecordPredictor(self.bundle, self.name)
        from edge_client.fleet.use.in_use import InstalledRecords

        return InstalledRecords(self.bundle, self._use, self.name)


class _File(Generic[P]):
    """A bundle that nobody replaces."""

    def __init__(self, path: str, load: Callable[[Maker], P]) -> None:
        from edge_client.bundle.file import read_bundle

        self.name = path
        self.bundle = read_bundle(path)
        with native_silence():
            self.predictor = load(Maker(self.bundle, path))

    def follow(self) -> bool:
        return False


def add_model_argument(parser: argparse.ArgumentParser, what: str = "the model") -> None:
    """Adds ``BUNDLE`` and ``--home``."""
    parser.add_argument(
        "bundle",
        metavar="BUNDLE",
        help=f"{what}: a .bundle file, or the name of a model that is installed here",
    )
    add_home_argument(parser)


def add_home_argument(parser: argparse.ArgumentParser) -> None:
    """Adds ``--home``."""
    parser.add_argument(
        "--home",
        type=Path,
        metavar="FOLDER",
        help="where models are installed (default: $ML4IOT_EDGE_HOME, or else "
        "~/.local/state/ml4iot-edge)",
    )


def resolve(argument: str, home: Path | None = None) -> Path:
    """The bundle file that was named; of an installed model the active one, just now.

    Raises :class:`FleetError` for what looks like a name and is neither.
    """
    where = _installed(argument, home)
    if where is None:
        return Path(argument)
    from edge_client.fleet.installed.slots import Slots

    slot = Slots(where, argument).active()
    if slot is None:
        raise _neither(argument, where)
    return slot.bundle


@contextmanager
def open_model(argument: str, home: Path | None, load: Callable[[Maker], P]) -> Iterator[Opened[P]]:
    """Loads the model that was named; an installed one is counted, watched and can be followed.

    Args:
        argument: a path, or a name.
        home: where models are installed; the user's own when left out.
        load: makes of it what is used.

    Raises:
        EdgeError: there is no such model, or it cannot be used here.
    """
    where = _installed(argument, home)
    if where is None:
        yield _File(argument, load)
        return
    from edge_client.fleet.use.in_use import ModelInUse

    def load_counted(bundle: Bundle, use: ModelInUse[P]) -> P:
        with native_silence():
            return load(Maker(bundle, f"{argument} {bundle.manifest.version}", use))

    # Whoever is told to end inside a model ends after it: else it would look like a crash.
    with ended_in_order(), ModelInUse(where, argument, load_counted, say) as model:
        yield model


def _installed(argument: str, home: Path | None) -> Home | None:
    """The home of the model; None where it is no name but the path of a file.

    Raises :class:`FleetError` for what may be either and is neither.
    """
    import stat

    from edge_client.fleet.installed.home import Home, default_home
    from edge_client.fleet.names import NAME

    # A file of that name comes first, as it always did.
    if not NAME.fullmatch(argument) or Path(argument).is_file():
        return None
    where = Home(home or default_home())
    model = where.model(argument)
    if not where.has(model, stat.S_ISDIR):
        if Path(argument).exists():  # a folder, say, of which the reader of bundles knows to tell
            return None
        raise _neither(argument, where)
    where.has(model / "active" / "slot.json")  # says so where only its owner may look
    return where


def _neither(argument: str, where: Home) -> FleetError:
    """What to say of a name that nothing has."""
    from edge_client.fleet.errors import FleetError
    from edge_client.fleet.installed.slots import Slots
    from edge_client.fleet.names import NAME

    folder = where.path / "models"
    named = sorted(path.name for path in folder.glob("*") if NAME.fullmatch(path.name))
    installed = [name for name in named if Slots(where, name).active() is not None]
    there = ", ".join(installed[:_NAMED]) + (", …" if len(installed) > _NAMED else "")
    return FleetError(
        f"{argument}: no such file, and no model of this name is installed in {where.path} "
        f"({f'there: {there}' if installed else 'none is there'}); ml4iot-edge pull installs models"
    )
