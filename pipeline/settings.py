"""Where a run takes its data from and where it leaves what it makes.

The local engine of ``tfx run create`` has no runtime parameters, so they come from environment
variables; every one has a default that works offline.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from components.edge_pusher.registry import RegistryTarget
from components.errors import InputError
from components.version import Version, read_version
from pipeline.environment import given
from pipeline.registry import read_registry

_ROOT = Path(__file__).resolve().parent
# The schemas kept in the repository, by which the data of every run is validated.
SCHEMAS = _ROOT / "schema"
# Small, with budgets of their own: what a laptop trains in minutes on the embedded data.
_DEFAULT_VERSIONS = "demo-kws,demo-little,demo-big,demo-th"


@dataclass(frozen=True)
class Settings:
    """One pipeline's surroundings."""

    name: str
    data: str | None  # path, or a name components.fetch knows; None: the embedded default
    splits: Path | None  # folder of given train/validation/test lists
    feedback: Path | None  # folder of clips that devices kept, for keyword spotting
    versions: tuple[Version, ...]
    home: Path  # state, logs, checkpoints
    push: Path  # where EdgePusher puts bundles
    models: Path  # where ServingPusher puts Big, for TensorFlow Serving
    measurements: str | None  # a file or registry with what devices measured; None: not asked
    registry: RegistryTarget | None  # where EdgePusher puts bundles for the fleet, signed

    @property
    def root(self) -> Path:
        """Artifacts of the pipeline."""
        return self.home / "artifacts" / self.name

    @property
    def metadata(self) -> Path:
        """The ML Metadata database."""
        return self.home / "metadata" / f"{self.name}.sqlite"

    @property
    def reports(self) -> Path:
        """The latest verdict of each version, as JSON."""
        return self.home / "reports"

    @property
    def tuning(self) -> Path:
        """What models reach together: curves of versions that ask a big one, and cooperation."""
        return self.home / "tuning"

    @property
    def checkpoints(self) -> Path:
        """Outlives runs: a killed training goes on from here."""
        return self.home / "checkpoints"


def read_settings(name: str, data: str) -> Settings:
    """Settings of pipeline ``name`` from the environment.

    Args:
        name: of the pipeline.
        data: the environment variable that names its data.

    Raises:
        InputError: a version that does not exist, is named twice or whose file is wrong, a home
            that cannot be made, or a registry that no bundle could be pushed to.
    """
    place = home()
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"ML4IOT_HOME: {place} cannot be made a folder ({error.strerror}); name another one"
        ) from None
    splits, feedback = given("ML4IOT_SPLITS"), given("ML4IOT_FEEDBACK")
    wanted = given("ML4IOT_VERSIONS") or _DEFAULT_VERSIONS
    versions = [_version(part.strip()) for part in wanted.split(",") if part.strip()]
    of_task = tuple(version for version in versions if version.task == name)
    if not of_task:
        raise InputError(f"ML4IOT_VERSIONS names no version for {name}: {wanted!r}")
    names = [version.name for version in of_task]
    for twice in sorted(n for n in names if names.count(n) > 1):
        raise InputError(f"ML4IOT_VERSIONS names {twice!r} twice: {wanted!r}; name it once")
    return Settings(
        name=name,
        data=given(data),
        splits=Path(splits).resolve() if splits else None,
        feedback=Path(feedback).resolve() if feedback else None,
        versions=of_task,
        home=place,
        push=Path(given("ML4IOT_PUSH") or place / "pushed").resolve(),
        models=Path(given("ML4IOT_MODELS") or place / "serving").resolve(),
        measurements=given("ML4IOT_DEVICE_MEASUREMENTS"),
        registry=read_registry(),
    )


def home() -> Path:
    """Where runs keep their state, logs and checkpoints."""
    return Path(given("ML4IOT_HOME") or _ROOT.parent / "runs").resolve()


def _version(wanted: str) -> Version:
    """A version by its name, or by the path of a YAML file."""
    if wanted.endswith((".yaml", ".yml")):
        return read_version(wanted)
    path = _ROOT / "versions" / f"{wanted}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.yaml")))
        raise InputError(f"ML4IOT_VERSIONS: there is no version {wanted!r}; there are {known}")
    return read_version(path)
