"""The ModelBlessing of TFX, which here also says of which very bundle it is."""

from __future__ import annotations

from pathlib import Path

from tfx.components.evaluator import constants
from tfx.types.artifact import Artifact

_SHA256 = "bundle_sha256"


def bless(blessing: Artifact, bundle_sha256: str | None) -> None:
    """Fills a blessing as TFX's Evaluator does.

    Args:
        blessing: the ModelBlessing artifact.
        bundle_sha256: of the bundle's file; None leaves the version not blessed.
    """
    blessed = bundle_sha256 is not None
    folder = Path(blessing.uri)
    folder.mkdir(parents=True, exist_ok=True)
    name = constants.BLESSED_FILE_NAME if blessed else constants.NOT_BLESSED_FILE_NAME
    (folder / name).touch()
    blessing.set_int_custom_property(
        constants.ARTIFACT_PROPERTY_BLESSED_KEY,
        constants.BLESSED_VALUE if blessed else constants.NOT_BLESSED_VALUE,
    )
    if bundle_sha256 is not None:
        blessing.set_string_custom_property(_SHA256, bundle_sha256)


def blessed_sha256(blessing: Artifact) -> str:
    """SHA-256 of the bundle the blessing is of; empty where it is of none."""
    return blessing.get_string_custom_property(_SHA256)
