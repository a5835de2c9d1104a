"""AudioExampleGen: what goes in and out."""

from __future__ import annotations

import json
from pathlib import Path

from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types.channel import Channel
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.types.standard_artifacts import Examples

from components.audio_example_gen.executor import Executor, parse_splits
from components.fingerprint import fingerprint


class AudioExampleGenSpec(ComponentSpec):
    """Parameters in, Examples out."""

    PARAMETERS = {
        "input_path": ExecutionParameter(type=str),
        "splits": ExecutionParameter(type=str),
        "seed": ExecutionParameter(type=int),
        "feedback": ExecutionParameter(type=str),
        "fingerprint": ExecutionParameter(type=str),
    }
    INPUTS: dict[str, ChannelParameter] = {}
    OUTPUTS = {"examples": ChannelParameter(type=Examples)}


class AudioExampleGen(BaseComponent):
    """Recordings of words to Examples: ``outputs['examples']``, splits train, validation, test.

    Each Example holds ``audio`` (int16 PCM, little-endian, mono, 16 kHz, one second), ``label``,
    ``speaker``, ``path``, and of the recording ``rms``, ``peak`` (both 0..1 of full scale),
    ``clipped`` (share of its samples) and ``seconds``.
    """

    SPEC_CLASS = AudioExampleGenSpec
    EXECUTOR_SPEC = ExecutorClassSpec(Executor)

    def __init__(
        self, input_path: str, splits: str = "{}", seed: int = 0, feedback: str = ""
    ) -> None:
        """Reads the input once for its fingerprint, so that a change of it is never overlooked.

        Args:
            input_path: a zip or a folder of ``<word>/*.wav``.
            splits: JSON, ``{"shares": {"train": 0.8, …}}`` of the speakers (the default, 80, 10
                and 10 percent) or ``{"lists": {"train": "a/file.txt", …}}``.
            seed: of the split by speaker.
            feedback: a folder of ``<word>/*.wav`` that devices kept (``ml4iot-edge run
                --keep``), added to the train split alone; empty for none. In a split by speaker,
                clips of speakers who are in validation or test are left out.

        Raises:
            InputError: the input, the feedback or a list does not exist, or ``splits`` is not
                understood.
        """
        path = str(Path(input_path).absolute())
        lists = parse_splits(splits).lists or {}
        kept = str(Path(feedback).absolute()) if feedback else ""
        absolute = {name: str(Path(file).absolute()) for name, file in lists.items()}
        super().__init__(
            spec=AudioExampleGenSpec(
                input_path=path,
                splits=json.dumps({"lists": absolute}) if absolute else splits,
                seed=seed,
                feedback=kept,
                fingerprint=fingerprint(path, *absolute.values(), *([kept] if kept else [])),
                examples=Channel(type=Examples),
            )
        )
