from __future__ import annotations

import contextlib
import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_client.big.answer import AnswerError, parse_answer
from edge_client.big.description import BigDescription, DescriptionError, Offer
from edge_client.features.spec import Standardisation
from tests.edge_client.big.stub import description
from tests.edge_client.test_bundle import json_values, put, remove

BIG = description()


def test_round_trip_through_json_text():
    assert BigDescription.from_json(json.loads(json.dumps(BIG.to_json()))) == BIG


def test_the_specification_changes_with_all_that_stored_features_depend_on():
    mean = tuple(m + 1e-9 for m in BIG.standardisation.mean)
    others = [
        replace(BIG, labels=BIG.labels[::-1]),
        replace(BIG, step=0.25),
        replace(BIG, features=replace(BIG.features, high_hz=3999.0)),
        replace(BIG, standardisation=replace(BIG.standardisation, mean=mean)),
    ]
    specifications = {each.specification for each in (BIG, *others)}
    assert len(specifications) == 5
    assert all(len(s) == 16 and set(s) <= set("0123456789abcdef") for s in specifications)


def test_the_specification_is_the_published_hash():
    """Computed here from the contract alone: whoever writes it elsewhere must come to the same."""
    import hashlib

    values = BIG.to_json()
    parts = {name: values[name] for name in ("labels", "features", "standardisation", "step")}
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    assert values["specification"] == hashlib.sha256(text.encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    "change",
    [
        put("surprise", 1),
        put("labels", ["one"]),
        put("labels", [str(n) for n in range(2000)]),
        put("step", 0),
        put("step", 0.25),  # no longer what is hashed
        put("samples", 8000),
        put("features", "mel_bins", 10**6),
        put("features", "clip_seconds", 1e9),
        put("features", "kind", "poetry"),
        put("standardisation", "mean", [0.0]),
        put("standardisation", "std", [0.0] * 16),
        put("specification", "0" * 16),
        put("specification", None),
        *[remove(name) for name in BIG.to_json()],
    ],
    ids=lambda change: change.__name__,
)
def test_a_description_that_is_not_understood_is_refused(change):
    values = json.loads(json.dumps(BIG.to_json()))
    change(values)
    with pytest.raises(DescriptionError, match=r"^there: "):
        BigDescription.from_json(values, "there")


@pytest.mark.parametrize(
    "changes",
    [
        {"step": 1e-45},
        {"step": 1e300},
        {"standardisation": Standardisation((1e300,) * 16, (1.0,) * 16)},
        {"standardisation": Standardisation((0.0,) * 16, (*(1.0,) * 15, 1e-45))},
        {"standardisation": Standardisation((0.0,) * 16, (1e300,) * 16)},
    ],
)
def test_scales_that_would_overflow_are_refused_though_their_hash_is_right(changes):
    with pytest.raises(DescriptionError, match=r"^there: standardisation and step of 1e-06 to"):
        BigDescription.from_json(description(**changes).to_json(), "there")


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_value_in_any_field_gives_an_offer_or_the_named_error(data):
    place = values = json.loads(
        json.dumps(BIG.to_json() | {"payloads": ["pcm-json"], "max_bytes": 9})
    )
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else [0]))
        inner = place[key]
        if not (isinstance(inner, (dict, list)) and inner) or data.draw(st.booleans()):
            break
        place = inner
    place[key] = data.draw(json_values)
    with contextlib.suppress(DescriptionError):
        Offer.from_json(values)


@pytest.mark.parametrize("values", [None, [], {}, {"payloads": ["a"]}, {"max_bytes": 5}])
def test_what_is_no_offer(values):
    with pytest.raises(DescriptionError):
        Offer.from_json(values)


@settings(max_examples=200)
@given(st.binary(max_size=60) | json_values.map(lambda v: json.dumps(v).encode()))
def test_any_answer_gives_probabilities_or_the_named_error(data):
    with contextlib.suppress(AnswerError):
        parse_answer(data, ("a", "b"), "there")


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from("abc"), json_values | st.floats(0, 1)))
def test_only_probabilities_pass(probabilities):
    data = json.dumps({"probabilities": probabilities}).encode()
    with contextlib.suppress(AnswerError):
        given_back = parse_answer(data, ("b", "a"), "there")
        assert given_back.tolist() == [probabilities["b"], probabilities["a"]]
        assert set(probabilities) == {"a", "b"}
        assert abs(given_back.sum() - 1) <= 0.1
