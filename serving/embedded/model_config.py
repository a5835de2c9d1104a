"""Which models are served, from where and in which versions (``models.config``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf import text_format

MAX_CONFIG_BYTES = 1_000_000


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the file and what to change."""


@dataclass(frozen=True)
class VersionPolicy:
    """Which of the versions in a model's folder are served.

    `latest` of them, newest first, or exactly those in `specific`, or all when both are None.
    """

    latest: int | None = 1
    specific: frozenset[int] | None = None


@dataclass(frozen=True)
class ModelConfig:
    """One model: ``<base_path>/<version>/saved_model.pb``."""

    name: str
    base_path: Path
    policy: VersionPolicy = VersionPolicy()
    labels: Mapping[str, int] = field(default_factory=dict)


def read(path: Path) -> list[ModelConfig]:
    """The models in a ``model_config_list`` in protobuf's text format. Raises `ConfigError`."""
    from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

    try:
        with path.open("rb") as file:
            text = file.read(MAX_CONFIG_BYTES + 1)
        if len(text) > MAX_CONFIG_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_CONFIG_BYTES} bytes")
        parsed = text_format.Parse(text.decode("utf-8"), ModelServerConfig())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: no model_config_list in protobuf text: {error}") from error
    models = [_model(path, config) for config in parsed.model_config_list.config]
    if not models:
        raise ConfigError(f"{path}: names no model; write model_config_list {{ config {{ ... }} }}")
    names = [model.name for model in models]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ConfigError(f"{path}: the model {repeated[0]!r} appears more than once")
    return models


def _model(path: Path, config: object) -> ModelConfig:
    name: str = config.name  # type: ignore[attr-defined]
    base_path = Path(config.base_path)  # type: ignore[attr-defined]
    platform: str = config.model_platform  # type: ignore[attr-defined]
    if not name:
        raise ConfigError(f"{path}: a model without a name")
    if not base_path.is_absolute():
        raise ConfigError(f"{path}: model {name!r}: base_path must be an absolute path")
    if platform not in ("", "tensorflow"):
        raise ConfigError(f"{path}: model {name!r}: platform {platform!r}; use 'tensorflow'")
    labels = dict(config.version_labels)  # type: ignore[attr-defined]
    return ModelConfig(name, base_path, _policy(path, name, config), labels)


def _policy(path: Path, name: str, config: object) -> VersionPolicy:
    policy = config.model_version_policy  # type: ignore[attr-defined]
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return VersionPolicy(latest=None)
    if choice == "specific":
        versions = frozenset(policy.specific.versions)
        if not versions:
            raise ConfigError(f"{path}: model {name!r}: the policy 'specific' names no version")
        return VersionPolicy(latest=None, specific=versions)
    return VersionPolicy(latest=policy.latest.num_versions or 1)
