"""Which run of which pipeline a component works in."""

from __future__ import annotations

from dataclasses import dataclass

from tfx.dsl.components.base.base_executor import BaseExecutor


@dataclass(frozen=True)
class PipelineRun:
    """For ``created_by``: TFX starts a run's name with its time."""

    pipeline: str
    run: str

    @classmethod
    def of(cls, context: BaseExecutor.Context | None) -> PipelineRun:
        """The run of an executor's context; an executor called by hand has none."""
        if context is None or context.pipeline_info is None or context.pipeline_run_id is None:
            return cls("by hand", "by hand")
        return cls(context.pipeline_info.id, context.pipeline_run_id)

    def __str__(self) -> str:
        return f"{self.pipeline}/{self.run}"
