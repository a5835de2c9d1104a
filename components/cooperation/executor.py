"""Asks every member on validation, learns the combination, and pushes it beside the bundles."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact

from components.cooperation.tuning import Float32, best_rule, fit_weights, rule_reports
from components.deferral.executor import clips_of, predictor_of, read_little
from components.deferral.stages import Clips
from components.errors import InputError
from components.examples import SAMPLE_RATE
from components.json_file import write_json
from components.progress import Bar, progress
from components.pushing import exclusive
from components.trainer.task import read_rows
from edge_client.cooperation.ensemble import Ensemble, Member, write_ensemble
from edge_client.cooperation.views import hear
from edge_client.predictor import AudioPredictor

FILE = "cooperation.json"


class Executor(BaseExecutor):
    """See ``components.cooperation.component.CooperationTuner``."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Tunes the members' cooperation; TFX calls it.

        Raises:
            InputError: members of the same name, or that know different labels.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        bundles = [_only_bundle(Path(artifact.uri)) for artifact in input_dict["bundles"]]
        members = read_members(bundles)
        labels = next(iter(members.values())).labels

        def hear(split: str) -> tuple[Float32, Clips]:
            clips = clips_of(read_rows(examples, split, "path"), labels)
            with progress(f"cooperation: {split}", len(members) * len(clips.audio)) as bar:
                scores = [_answers(member, clips, bar) for member in members.values()]
            return np.stack(scores, axis=1), clips

        names = list(members)
        outputs, clips = hear("validation")
        weights = fit_weights(outputs, clips.truth)
        validation = rule_reports(names, outputs, clips.truth, weights)
        rule = best_rule(outputs, clips.truth, weights)
        ensemble = Ensemble(
            tuple(
                Member(name, hashlib.sha256(path.read_bytes()).hexdigest(), weight)
                for name, path, weight in zip(names, bundles, weights, strict=True)
            ),
            rule,
            labels,
        )
        outputs, clips = hear("test")  # once, and only now that everything is chosen
        test = rule_reports(names, outputs, clips.truth, weights)
        logging.info("cooperation of %s by %s: %s", ", ".join(names), rule, test[rule])
        report = {
            "ensemble": ensemble.to_json(),
            "validation": {name: r.to_json() for name, r in validation.items()},
            "test": {name: r.to_json() for name, r in test.items()},
        }
        folder = Path(artifact_utils.get_single_uri(output_dict["ensemble"]))
        write_json(folder / "report.json", report)
        write_json(Path(exec_properties["reports"]) / FILE, report)
        write_ensemble(folder / FILE, ensemble)
        destination = Path(exec_properties["destination"])
        with exclusive(destination, FILE, (folder / FILE).stat().st_size):
            write_ensemble(destination / FILE, ensemble)


def read_members(bundles: Sequence[Path]) -> Mapping[str, AudioPredictor]:
    """The models by name, in the order given.

    Raises:
        InputError: two of one name, a bundle that does not run, or labels that differ.
    """
    members: dict[str, AudioPredictor] = {}
    for path in bundles:
        bundle = read_little(path)
        name = bundle.manifest.name
        if name in members:
            raise InputError(f"cooperation: two members are called {name!r}; name one otherwise")
        members[name] = predictor_of(bundle, name)
    first, *others = members.items()
    for name, member in others:
        if member.labels != first[1].labels:
            raise InputError(
                f"cooperation: {first[0]} knows {', '.join(first[1].labels)}, {name} "
                f"{', '.join(member.labels)}; train them on the same words"
            )
    return members


def _answers(member: AudioPredictor, clips: Clips, bar: Bar) -> Float32:
    """``[n, labels]``: as its node would answer."""
    answers = np.empty((len(clips.audio), len(member.labels)), np.float32)
    for number, clip in enumerate(clips.audio):
        answers[number] = hear(member, clip, SAMPLE_RATE)
        bar.advance()
    return answers


def _only_bundle(folder: Path) -> Path:
    (path,) = folder.glob("*.bundle")
    return path
