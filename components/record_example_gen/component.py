"""RecordExampleGen: what goes in and out."""

from __future__ import annotations

from pathlib import Path

from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types.channel import Channel
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.types.standard_artifacts import Examples

from components.fingerprint import fingerprint
from components.record_example_gen.executor import Executor, parse_quantities, parse_shares


class RecordExampleGenSpec(ComponentSpec):
    """See :class:`RecordExampleGen`."""

    PARAMETERS = {
        "input_path": ExecutionParameter(type=str),
        "quantities": ExecutionParameter(type=str),
        "shares": ExecutionParameter(type=str),
        "fingerprint": ExecutionParameter(type=str),
    }
    INPUTS: dict[str, ChannelParameter] = {}
    OUTPUTS = {"examples": ChannelParameter(type=Examples)}


class RecordExampleGen(BaseComponent):
    """Sensor records to Examples: ``outputs['examples']``, splits train, validation, test in time.

    Each Example holds ``time`` (unix seconds) and one float a quantity, by the quantity's name
    and in its unit, which is absent where the record lacks it.  Custom properties of the
    artifact count the ``records`` and what was dropped or lacking: ``duplicates``,
    ``disordered``, ``missing``.
    """

    SPEC_CLASS = RecordExampleGenSpec
    EXECUTOR_SPEC = ExecutorClassSpec(Executor)

    def __init__(self, input_path: str, quantities: str, shares: str = "{}") -> None:
        """Reads the input once for its fingerprint, so that a change of it is never overlooked.

        Args:
            input_path: a CSV with a header, plain or alone in a zip.
            quantities: JSON, a list of ``{"name": "T", "column": "T (degC)", "unit": "Cel"}``.
            shares: JSON, ``{"train": 0.7, "validation": 0.2, "test": 0.1}`` (the default).

        Raises:
            InputError: the input does not exist, or a parameter is not understood.
        """
        parse_quantities(quantities)
        parse_shares(shares)
        path = str(Path(input_path).absolute())
        super().__init__(
            spec=RecordExampleGenSpec(
                input_path=path,
                quantities=quantities,
                shares=shares,
                fingerprint=fingerprint(path),
                examples=Channel(type=Examples),
            )
        )
