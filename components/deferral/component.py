"""DeferralTuner: a bundle and the big model in, the bundle that knows when to ask out."""

from __future__ import annotations

import json

from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types import standard_artifacts
from tfx.types.channel import BaseChannel, Channel
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.artifacts import DeferralCurve, EdgeBundle
from components.deferral.executor import Executor, TuningSettings
from components.errors import InputError
from components.settings import from_mapping


class DeferralTunerSpec(ComponentSpec):
    """See :class:`DeferralTuner`."""

    PARAMETERS = {
        "name": ExecutionParameter(type=str),
        "settings": ExecutionParameter(type=str),
        "reports": ExecutionParameter(type=str),
    }
    INPUTS = {
        "incoming_bundle": ChannelParameter(type=EdgeBundle),
        "incoming_blessing": ChannelParameter(type=standard_artifacts.ModelBlessing),
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "model": ChannelParameter(type=standard_artifacts.Model, optional=True),
    }
    OUTPUTS = {
        "bundle": ChannelParameter(type=EdgeBundle),
        "blessing": ChannelParameter(type=standard_artifacts.ModelBlessing),
        "curve": ChannelParameter(type=DeferralCurve),
    }


class DeferralTuner(BaseComponent):
    """Learns on the validation split when a small model asks the big one, and its fast mode.

    The model in the bundle stays the very same bytes; the manifest gains ``deferral`` or ``fast``
    or both. The test split is read once, at the end, for the curve and for the budgets of both
    models together and of the fast mode; one that is missed fails the run. The outgoing blessing
    is of the outgoing bundle, and given only where the incoming one was of the incoming bundle.
    """

    SPEC_CLASS = DeferralTunerSpec
    EXECUTOR_SPEC = ExecutorClassSpec(Executor)

    def __init__(
        self,
        name: str,
        settings: str,
        reports: str,
        bundle: BaseChannel,
        blessing: BaseChannel,
        examples: BaseChannel,
        model: BaseChannel | None = None,
    ) -> None:
        """Checks the settings, so that a mistake shows before any training.

        Args:
            name: of the version.
            settings: JSON with the sections ``deferral`` and ``fast`` of the version's YAML.
            reports: a folder that outlives runs, for ``<name>.json`` and ``<name>.svg``; TFX
                removes the outputs of a component that fails.
            bundle: of the ConstraintEvaluator.
            blessing: of the same ConstraintEvaluator.
            examples: the audio Examples.
            model: of the big model's Trainer; ``deferral`` needs it.

        Raises:
            InputError: settings that are not understood.
        """
        wanted = from_mapping(TuningSettings, json.loads(settings), name)
        if wanted.deferral is not None and model is None:
            raise InputError(f"{name}: deferral needs the model of {wanted.deferral.big}")
        super().__init__(
            spec=DeferralTunerSpec(
                name=name,
                settings=settings,
                reports=reports,
                incoming_bundle=bundle,
                incoming_blessing=blessing,
                examples=examples,
                model=model,
                bundle=Channel(type=EdgeBundle),
                blessing=Channel(type=standard_artifacts.ModelBlessing),
                curve=Channel(type=DeferralCurve),
            )
        )
