"""ServingEvaluator: a model and the test clips in, a blessing and a report out."""

from __future__ import annotations

import json

from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types import standard_artifacts
from tfx.types.channel import BaseChannel, Channel
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.artifacts import ConstraintReport
from components.constraint_evaluator.budgets import check_budgets
from components.serving_evaluator.executor import UNITS, Executor


class ServingEvaluatorSpec(ComponentSpec):
    """See :class:`ServingEvaluator`."""

    PARAMETERS = {
        "name": ExecutionParameter(type=str),
        "version": ExecutionParameter(type=str),
        "budgets": ExecutionParameter(type=str),
        "reports": ExecutionParameter(type=str),
    }
    INPUTS = {
        "model": ChannelParameter(type=standard_artifacts.Model),
        "examples": ChannelParameter(type=standard_artifacts.Examples),
    }
    OUTPUTS = {
        "blessing": ChannelParameter(type=standard_artifacts.ModelBlessing),
        "report": ChannelParameter(type=ConstraintReport),
    }


class ServingEvaluator(BaseComponent):
    """Asks the exported SavedModel itself, as TensorFlow Serving will, for every test clip.

    Budgets: ``accuracy`` (percent), ``bytes`` (of the SavedModel's folder) and ``total_ms`` (one
    clip, the median).  The ServingPusher takes the blessing.
    """

    SPEC_CLASS = ServingEvaluatorSpec
    EXECUTOR_SPEC = ExecutorClassSpec(Executor)

    def __init__(
        self,
        model: BaseChannel,
        examples: BaseChannel,
        name: str,
        budgets: str,
        version: str,
        reports: str,
    ) -> None:
        """Checks the budgets, so that a mistake shows before the training.

        Args:
            model: of the Trainer.
            examples: the clips, with a test split.
            name: of the version.
            budgets: JSON, metric to bound.
            version: of the model.
            reports: a folder that outlives runs, for ``<name>.json``; TFX removes the outputs of a
                component that fails.

        Raises:
            InputError: a budget on what is not measured of a served model.
        """
        check_budgets(json.loads(budgets), UNITS, name)
        super().__init__(
            spec=ServingEvaluatorSpec(
                model=model,
                examples=examples,
                name=name,
                budgets=budgets,
                version=version,
                reports=reports,
                blessing=Channel(type=standard_artifacts.ModelBlessing),
                report=Channel(type=ConstraintReport),
            )
        )
