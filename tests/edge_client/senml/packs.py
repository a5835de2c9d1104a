"""What the tests of SenML draw from: any legal records, and any JSON."""

from __future__ import annotations

import math
import string

from hypothesis import strategies as st

from edge_client.senml import Record

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9\-:./_]{0,20}", fullmatch=True)
UNITS = st.sampled_from(["", "Cel", "%RH", "Hz", "/", "°C"])
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
TIMES = st.one_of(
    st.just(0.0),
    st.integers(2**28, 2**40).map(float),
    st.floats(2.0**28, 1e12, allow_nan=False),
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.one_of(NUMBERS, TEXTS, st.booleans(), st.binary(max_size=40))
RECORDS = st.one_of(
    st.builds(Record, NAMES, TIMES, UNITS, VALUES, st.none() | NUMBERS),
    st.builds(Record, NAMES, TIMES, UNITS, st.none(), NUMBERS),
)

LABELS = ("bn", "bt", "bu", "bv", "bs", "bver", "n", "u", "v", "vs", "vb", "vd", "s", "t", "ut")
DRAFT_LABELS = ("ver", "sv", "e")

PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(string.printable, max_size=8),
    st.text(max_size=8),
    st.sampled_from(["AAAA", "AQ", "AQ==", "a b", "x_", "-"]),
)
JSON = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(LABELS + DRAFT_LABELS) | st.text(max_size=4), inner, max_size=5
        ),
    ),
    max_leaves=12,
)


def same(got: Record, wanted: Record) -> bool:
    """Equal in types too, for True == 1.0."""
    return (
        got == wanted
        and type(got.value) is type(wanted.value)
        and type(got.time) is float
        and math.isfinite(got.time)
    )
