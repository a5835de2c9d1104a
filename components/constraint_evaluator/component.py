"""ConstraintEvaluator: candidates in, a verdict against hard budgets and a bundle out."""

from __future__ import annotations

from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types import standard_artifacts
from tfx.types.channel import BaseChannel, Channel
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.artifacts import Candidates, ConstraintReport, EdgeBundle, FeatureSpecification
from components.constraint_evaluator.executor import Executor


class ConstraintEvaluatorSpec(ComponentSpec):
    """See :class:`ConstraintEvaluator`."""

    PARAMETERS = {
        "name": ExecutionParameter(type=str),
        "version": ExecutionParameter(type=str),
        "budgets": ExecutionParameter(type=str),
        "reports": ExecutionParameter(type=str),
        "measurements": ExecutionParameter(type=str),
    }
    INPUTS = {
        "candidates": ChannelParameter(type=Candidates),
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "specification": ChannelParameter(type=FeatureSpecification),
    }
    OUTPUTS = {
        "blessing": ChannelParameter(type=standard_artifacts.ModelBlessing),
        "report": ChannelParameter(type=ConstraintReport),
        "bundle": ChannelParameter(type=EdgeBundle),
    }


class ConstraintEvaluator(BaseComponent):
    """Blesses the candidate that keeps every budget, strictly, and fails the run without one.

    The choice among candidates falls on the validation split; the test split is read once, for
    the chosen one, and the verdict follows from it alone. All figures come from the compressed
    file by the predictor of the device, so what is measured is what a device runs.

    Latencies are this host's, unless devices are asked as well: then those of a device count for
    the candidate it has measured, and the report says of every latency where it was taken.
    """

    SPEC_CLASS = ConstraintEvaluatorSpec
    EXECUTOR_SPEC = ExecutorClassSpec(Executor)

    def __init__(
        self,
        name: str,
        version: str,
        budgets: str,
        reports: str,
        candidates: BaseChannel,
        examples: BaseChannel,
        specification: BaseChannel,
        measurements: str = "",
    ) -> None:
        """Wires the component.

        Args:
            name: of the version (``kws-a``), which is also the name of the bundle.
            version: of the model, told apart from earlier ones of that name by devices.
            budgets: a JSON mapping from metric to bound, see ``components.version.Version``.
            reports: a folder that outlives runs; TFX removes the outputs of a component that fails,
                and the report of a missed budget is wanted most of all. Gets ``<name>.json``, and
                with ``measurements`` all candidates as bundles that a device can measure:
                ``candidates/<name>/<recipe>.bundle``.
            candidates: of Compression.
            examples: the audio Examples, or the window Examples.
            specification: of the features or windows.
            measurements: what devices measured, see
                ``components.constraint_evaluator.device_measurements``; empty: none are asked.
        """
        super().__init__(
            spec=ConstraintEvaluatorSpec(
                name=name,
                version=version,
                budgets=budgets,
                reports=reports,
                measurements=measurements,
                candidates=candidates,
                examples=examples,
                specification=specification,
                blessing=Channel(type=standard_artifacts.ModelBlessing),
                report=Channel(type=ConstraintReport),
                bundle=Channel(type=EdgeBundle),
            )
        )
