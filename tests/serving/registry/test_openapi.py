"""Requests made up from the OpenAPI document: the registry keeps to what it says there."""

from __future__ import annotations

import tempfile
from pathlib import Path

import schemathesis
from hypothesis import HealthCheck, settings

from serving.registry.http.app import create_app
from serving.registry.options import RegistryOptions
from serving.registry.registry import open_registry
from serving.registry.tokens import Tokens
from tests.serving.registry.operator_side import Operator, push

_CONFIG = {
    "checks": {
        "negative_data_rejection": {
            "expected-statuses": ["400", "401", "403", "404", "405", "409", "413", "429"]
        }
    },
    "operations": [
        # What no generator can make: a signed bundle, a TFLite model, and one of two names for
        # each threshold.
        {
            "include-path": path,
            "checks": {"positive_data_acceptance": {"enabled": False}},
        }
        for path in ("/models/{model}/versions/{version}", "/add", "/predict")
    ],
}
_FEW = settings(max_examples=8, suppress_health_check=list(HealthCheck))

# Not fixtures: pytest names a test for each route, and wants to know them before any fixture runs.
_place = tempfile.TemporaryDirectory(prefix="ml4iot-registry-")
_operator = Operator.made(Path(_place.name))
push(_operator, _operator.store(), "tones", "1.0", "stable")
_token = Tokens(_operator.folder).add("schemathesis", "operate")
_app = create_app(open_registry(RegistryOptions(_operator.folder)))
schema = schemathesis.openapi.from_asgi(
    "/openapi.json", _app, config=schemathesis.Config.from_dict(_CONFIG)
)


@schema.parametrize()
@_FEW
def test_without_a_token(case):
    case.call_and_validate()


@schema.parametrize()
@_FEW
def test_with_a_token(case):
    case.call_and_validate(headers={"Authorization": f"Bearer {_token}"})
