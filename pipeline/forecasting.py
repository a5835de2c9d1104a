"""Forecasting: records of temperature and humidity to blessed bundles for devices.

    tfx pipeline create --engine local --pipeline-path pipeline/forecasting.py
    tfx run create --engine local --pipeline-name forecasting

Without any setting it runs on the hourly records of a measured station year.  Environment
variables change that: ``ML4IOT_RECORDS`` (a CSV, plain or in a zip, or
``jena_climate_2009_2016``, which is fetched), ``ML4IOT_VERSIONS`` (comma-separated),
``ML4IOT_HOME`` and ``ML4IOT_PUSH``; those of the registry and of measurements by devices are as in
``keyword_spotting.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from components.data_gate.dag import validation
from components.default_data.records import make_records
from components.errors import InputError
from components.fetch import fetch
from components.record_example_gen.component import RecordExampleGen
from components.trainer.component import Trainer
from components.version import to_json
from components.window_transform.component import WindowTransform
from pipeline.runner import run
from pipeline.settings import SCHEMAS, Settings, read_settings
from pipeline.stages import assemble, to_the_edge

if TYPE_CHECKING:  # TFX must not be imported before our components have chosen Keras 2
    from tfx import v1 as tfx


def create_pipeline() -> tuple[tfx.dsl.Pipeline, Settings]:
    """The DAG, in the order data flows."""
    settings = read_settings("forecasting", data="ML4IOT_RECORDS")
    records = RecordExampleGen(input_path=str(csv(settings)), quantities=quantities(settings))
    checks, gate = validation(records.outputs["examples"], SCHEMAS / "records")
    components = [records, *checks]
    transforms: dict[str, WindowTransform] = {}
    for version in settings.versions:
        window = to_json(version.window)
        if window not in transforms:
            transforms[window] = WindowTransform(
                examples=records.outputs["examples"],
                window=window,
                approval=gate.outputs["approval"],
            ).with_id(f"WindowTransform.{len(transforms) + 1}")
            components.append(transforms[window])
        examples = transforms[window].outputs["transformed_examples"]
        specification = transforms[window].outputs["specification"]
        trainer = Trainer(
            name=version.name,
            recipe=to_json(version.recipe),
            checkpoints=str(settings.checkpoints),
            examples=examples,
            specification=specification,
        ).with_id(f"Trainer.{version.name}")
        components.append(trainer)
        components += to_the_edge(
            version, settings, trainer, examples, specification, measured_on=examples
        )
    return assemble(settings, components), settings


def csv(settings: Settings) -> Path:
    """Where the records are; fetched or made first where that is needed."""
    if settings.data is not None:
        return fetch(settings.data)
    records = settings.home / "data" / "station_year.csv"
    make_records(records)
    return records


def quantities(settings: Settings) -> str:
    """The columns to read, as JSON; one run reads the same for all its versions."""
    windows = {to_json(v.window.quantities): v.name for v in settings.versions if v.window}
    if len(windows) > 1:
        raise InputError(
            f"{' and '.join(windows.values())} name different quantities; "
            "run them one after the other with ML4IOT_VERSIONS"
        )
    return next(iter(windows))


if __name__ == "__main__":
    run(create_pipeline)
