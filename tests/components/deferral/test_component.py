"""The component checks its settings before anything is trained."""

from __future__ import annotations

import json

import pytest
from tfx.types import channel_utils, standard_artifacts
from tfx.types.channel import BaseChannel

from components.artifacts import EdgeBundle
from components.deferral.component import DeferralTuner
from components.errors import InputError


def wired(settings: dict, **more: BaseChannel) -> DeferralTuner:
    return DeferralTuner(
        name="small",
        settings=json.dumps(settings),
        reports="reports",
        bundle=channel_utils.as_channel([EdgeBundle()]),
        blessing=channel_utils.as_channel([standard_artifacts.ModelBlessing()]),
        examples=channel_utils.as_channel([standard_artifacts.Examples()]),
        **more,
    )


def test_what_goes_in_and_out() -> None:
    settings = {"deferral": {"big": "large", "target": {"accuracy": 97}}, "fast": None}
    model = channel_utils.as_channel([standard_artifacts.Model()])
    tuner = wired(settings, model=model)
    assert set(tuner.outputs) == {"bundle", "blessing", "curve"}
    assert "model" in tuner.spec.inputs


def test_deferral_without_a_big_model_is_refused() -> None:
    with pytest.raises(InputError, match="small: deferral needs the model of large"):
        wired({"deferral": {"big": "large", "target": {"accuracy": 97}}})


def test_a_mistake_is_named_with_its_place() -> None:
    with pytest.raises(InputError, match=r"small\.deferral: unknown key 'threshold'"):
        wired({"deferral": {"big": "large", "target": {"share": 0.1}, "threshold": 1}})
