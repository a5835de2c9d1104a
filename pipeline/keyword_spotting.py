"""Keyword spotting: recordings of words to blessed bundles for devices and a served big model.

    tfx pipeline create --engine local --pipeline-path pipeline/keyword_spotting.py
    tfx run create --engine local --pipeline-name keyword_spotting

Without any setting it runs on synthetic words it makes itself.  Environment variables change
that: ``ML4IOT_AUDIO`` (a zip or folder of ``<word>/*.wav``, or ``mini_speech_commands``, which is
fetched), ``ML4IOT_SPLITS`` (a folder of given train, validation and test lists),
``ML4IOT_FEEDBACK`` (a folder of clips that devices kept, for the train split alone; in a split by
speaker without the speakers of validation and test),
``ML4IOT_VERSIONS`` (comma-separated), ``ML4IOT_HOME``, ``ML4IOT_PUSH`` and ``ML4IOT_MODELS``;
``ML4IOT_REGISTRY`` (the registry's URL), ``ML4IOT_REGISTRY_TOKEN_FILE``, ``ML4IOT_TARGETS_KEY``
(several paths where its root wants several signatures, separated as those of PATH are) and
``ML4IOT_REGISTRY_ROOT`` for a signed push to the fleet, by way of the channel ``ML4IOT_CHANNEL``;
``ML4IOT_DEVICE_MEASUREMENTS`` (a file or a registry's URL) for latencies that devices measured.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from components.audio_example_gen.component import AudioExampleGen
from components.cooperation.component import CooperationTuner
from components.data_gate.dag import validation
from components.default_data.words import make_words
from components.errors import InputError
from components.fetch import fetch
from components.mfcc_transform.component import MfccTransform
from components.trainer.component import Trainer
from components.version import Version, to_json
from pipeline.runner import run
from pipeline.settings import SCHEMAS, Settings, read_settings
from pipeline.stages import assemble, to_the_edge, to_the_server

if TYPE_CHECKING:  # TFX must not be imported before our components have chosen Keras 2
    from tfx import v1 as tfx
    from tfx.dsl.components.base.base_component import BaseComponent
    from tfx.types.channel import BaseChannel


@dataclass(frozen=True)
class Trained:
    """A version's model, and the features it hears."""

    transform: MfccTransform
    trainer: Trainer


def create_pipeline() -> tuple[tfx.dsl.Pipeline, Settings]:
    """The DAG, in the order data flows."""
    settings = read_settings("keyword_spotting", data="ML4IOT_AUDIO")
    clips = AudioExampleGen(
        input_path=str(recordings(settings)),
        splits=json.dumps(given_lists(settings.splits)),
        feedback=str(settings.feedback or ""),
    )
    audio = clips.outputs["examples"]
    checks, gate = validation(audio, SCHEMAS / "audio")
    components = [clips, *checks]
    trained = train(settings, audio, gate.outputs["approval"], components)
    pushers = judge_and_push(settings, audio, trained, components)
    cooperate(settings, audio, pushers, components)
    return assemble(settings, components), settings


def train(
    settings: Settings,
    audio: BaseChannel,
    approval: BaseChannel,
    components: list[BaseComponent],
) -> dict[str, Trained]:
    """Adds features and trainings, each kind of features once; gives them by version."""
    transforms: dict[str, MfccTransform] = {}
    trained: dict[str, Trained] = {}
    for version in teachers_first(settings.versions):
        features = to_json(version.features)
        if features not in transforms:
            transforms[features] = MfccTransform(
                examples=audio, features=features, approval=approval
            ).with_id(f"MfccTransform.{len(transforms) + 1}")
            components.append(transforms[features])
        transform = transforms[features]
        teacher = teacher_of(version, settings.versions)
        trainer = Trainer(
            name=version.name,
            recipe=to_json(version.recipe),
            checkpoints=str(settings.checkpoints),
            examples=transform.outputs["transformed_examples"],
            specification=transform.outputs["specification"],
            audio=audio,
            teacher=trained[teacher.name].trainer.outputs["model"] if teacher else None,
        ).with_id(f"Trainer.{version.name}")
        components.append(trainer)
        trained[version.name] = Trained(transform, trainer)
    return trained


def judge_and_push(
    settings: Settings,
    audio: BaseChannel,
    trained: Mapping[str, Trained],
    components: list[BaseComponent],
) -> dict[str, BaseComponent]:
    """Adds compression, verdicts and pushes; gives the pushers by version."""
    pushers: dict[str, BaseComponent] = {}
    tuners: list[tuple[Version, BaseComponent]] = []
    for version in settings.versions:
        transform, trainer = trained[version.name].transform, trained[version.name].trainer
        if version.compression:
            big = big_of(version, settings.versions)
            stages = to_the_edge(
                version,
                settings,
                trainer,
                transform.outputs["transformed_examples"],
                transform.outputs["specification"],
                measured_on=audio,
                audio=audio,
                big=trained[big.name].trainer if big else None,
            )
            if big is not None:
                tuners.append((big, stages[-2]))
        else:
            stages = to_the_server(version, settings, trainer, clips=audio)
        components += stages
        pushers[version.name] = stages[-1]
    for big, tuner in tuners:  # it is served only if those that ask it do well with it
        pushers[big.name].add_upstream_node(tuner)
    return pushers


def cooperate(
    settings: Settings,
    audio: BaseChannel,
    pushers: Mapping[str, BaseComponent],
    components: list[BaseComponent],
) -> None:
    """Adds how the versions that cooperate decide together; one alone has nobody to do so with."""
    members = [pushers[version.name] for version in settings.versions if version.cooperates]
    if len(members) > 1:
        components.append(
            CooperationTuner(
                bundles=[pusher.inputs["bundle"] for pusher in members],
                pushed=[pusher.outputs["pushed"] for pusher in members],
                examples=audio,
                destination=str(settings.push),
                reports=str(settings.tuning),
            )
        )


def recordings(settings: Settings) -> Path:
    """Where the recordings are; fetched or made first where that is needed."""
    if settings.data is not None:
        return fetch(settings.data)
    words = settings.home / "data" / "words"
    make_words(words)
    return words


def given_lists(folder: Path | None) -> dict[str, dict[str, str]]:
    """The lists of ``folder`` by split; without a folder the split is by speaker.

    A list is the one file whose name holds ``train``, ``val`` or ``test``.
    """
    if folder is None:
        return {}
    lists = {}
    for split, word in (("train", "train"), ("validation", "val"), ("test", "test")):
        found = sorted(folder.glob(f"*{word}*.txt"))
        if len(found) != 1:
            raise InputError(
                f"ML4IOT_SPLITS: {folder} holds {len(found)} files *{word}*.txt; there must be one"
            )
        lists[split] = str(found[0])
    return {"lists": lists}


def teachers_first(versions: Iterable[Version]) -> list[Version]:
    """The versions, those that learn from another one behind those that do not."""
    return sorted(versions, key=lambda version: version.training.distillation is not None)


def teacher_of(version: Version, versions: Iterable[Version]) -> Version | None:
    """The one of ``versions`` that ``version`` learns from; None where it learns from labels.

    Raises:
        InputError: it is not among them, learns from another itself, or hears other features.
    """
    if version.training.distillation is None:
        return None
    name = version.training.distillation.teacher
    teacher = next((v for v in versions if v.name == name), None)
    if teacher is None:
        raise InputError(f"ML4IOT_VERSIONS: add {name}, from which {version.name} learns")
    where = f"{version.name}: training.distillation.teacher is {name!r}"
    if teacher.training.distillation is not None:
        raise InputError(f"{where}, which learns from another itself; name one that does not")
    if teacher.features != version.features:
        raise InputError(f"{where}, whose features are others; give both versions the same")
    return teacher


def big_of(version: Version, versions: Iterable[Version]) -> Version | None:
    """The one of ``versions`` that ``version`` asks where it is in doubt; None where it never does.

    Raises:
        InputError: it is not among them, or is not one that is served.
    """
    if version.deferral is None:
        return None
    name = version.deferral.big
    big = next((v for v in versions if v.name == name), None)
    if big is None:
        raise InputError(f"ML4IOT_VERSIONS: add {name}, which {version.name} asks")
    if big.compression:
        raise InputError(
            f"{version.name}: deferral.big is {name!r}, which is made for devices; name a version "
            "without compression, which is served"
        )
    return big


if __name__ == "__main__":
    run(create_pipeline)
