"""Where a device keeps what it was told and what it has fetched; and who may change it just now."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_client.fleet.errors import DeviceFailure, FleetError
from edge_client.fleet.names import check_name

_AGAIN_S = 0.05


class Home:
    """The layout of one folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.enrolment = path / "enrolment.json"
        # The root given at enrolment.  Not in ``trusted``, where later ones replace one another.
        self.root = path / "root.json"
        self.trusted = path / "trusted"
        self.clock = path / "clock.json"
        self.incoming = path / "incoming"

    def model(self, model: str) -> Path:
        """The folder of one model; raises :class:`FleetError` for what is no name."""
        return self.path / "models" / check_name(model, "model")

    def has(self, path: Path, kind: Callable[[int], bool] = stat.S_ISREG) -> bool:
        """Whether there is such a file; raises :class:`FleetError` where nobody lets us see.

        Args:
            path: in this home.
            kind: of file, by its mode.
        """
        try:
            return kind(path.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            denied = isinstance(error, PermissionError)
            advice = "; it is for the user that enrolled this device" if denied else ""
            raise FleetError(f"{self.path}: cannot be read: {error.strerror}{advice}") from None

    def partials(self, model: str) -> Path:
        """The folder of what is being fetched for one model."""
        return self.incoming / check_name(model, "model")

    def make(self) -> None:
        """Makes the folders, for nobody else to look into; raises :class:`OSError`."""
        for folder in (self.path, self.trusted, self.incoming):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def forget_trust(self) -> None:
        """Forgets all metadata seen so far, for another root begins another history."""
        shutil.rmtree(self.trusted, ignore_errors=True)
        self.clock.unlink(missing_ok=True)
        self.make()

    @contextmanager
    def updating(self, seconds: float) -> Iterator[None]:
        """Holds off every other update of this device.

        Raises:
            DeviceFailure: another one has not ended within so many seconds.
        """
        with locked(self.path / "lock", seconds, "another update is under way on this device"):
            yield


def default_home() -> Path:
    """``$ML4IOT_EDGE_HOME``, or else a folder of the user; raises :class:`FleetError` for none."""
    named = os.environ.get("ML4IOT_EDGE_HOME")
    try:
        return Path(named) if named else Path.home() / ".local" / "state" / "ml4iot-edge"
    except RuntimeError:
        raise FleetError(
            "this user has no home; name a folder with --home or $ML4IOT_EDGE_HOME"
        ) from None


@contextmanager
def locked(path: Path, seconds: float, otherwise: str) -> Iterator[None]:
    """Holds a lock that is let go of however this process ends.  Not to be taken twice at once.

    Args:
        path: of the lock's file, made if need be.
        seconds: to wait for another process or thread that holds it.
        otherwise: what to say when that takes longer.

    Raises:
        DeviceFailure: it took longer.
        OSError: the file cannot be made.
    """
    patience = time.monotonic() + seconds
    with path.open("ab") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= patience:
                    raise DeviceFailure(f"{path.parent}: {otherwise}; try again later") from None
                time.sleep(_AGAIN_S)
        yield
