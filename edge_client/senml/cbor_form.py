"""SenML in CBOR: integers for labels, bytes as they are.

The bytes are looked over before cbor2 sees them.  On its own it would follow any tag to whatever
object that makes (shared references, regular expressions, dates) and believe any length; its
options against that differ from release to release.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edge_client.senml.record import Limits, SenmlError

# RFC 8428, section 6: the integers that stand for the labels.
LABELS = {
    "bver": -1,
    "bn": -2,
    "bt": -3,
    "bu": -4,
    "bv": -5,
    "bs": -6,
    "n": 0,
    "u": 1,
    "v": 2,
    "vs": 3,
    "vb": 4,
    "s": 5,
    "t": 6,
    "ut": 7,
    "vd": 8,
}
_NAMES = {number: name for name, number in LABELS.items()}

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
_KEYS = (_UNSIGNED, _NEGATIVE, _TEXT)
_FALSE_TRUE_NULL_FLOATS = (20, 21, 22, 25, 26, 27)
_DECIMAL_FRACTION = 4
_MAX_EXPONENT = 400  # either way: a double has no more
_MAX_DEPTH = 8  # of what unknown fields hold; a pack itself has two levels


def decode_cbor(body: bytes, limits: Limits) -> Sequence[dict[str, Any]]:
    """The records of a pack under the labels JSON has, unknown integers left out.

    Raises:
        SenmlError: not CBOR, not an array of maps, cut short, of indefinite length, nested too
            deeply, with tags other than decimal fractions, a key twice, or too many parts.
    """
    import cbor2  # late: only who speaks it pays for it

    sizes = _Scan(body, limits).pack()
    try:
        records = cbor2.loads(body)
    except (cbor2.CBORError, ValueError) as error:
        raise SenmlError(f"SenML: not CBOR: {error}") from None
    for i, (record, size) in enumerate(zip(records, sizes, strict=True)):
        if len(record) != size:
            raise SenmlError(f"SenML[{i}]: the same field twice in one record")
    return [_named(record, f"SenML[{i}]") for i, record in enumerate(records)]


def encode_cbor(records: Sequence[dict[str, Any]]) -> bytes:
    """Records under the labels JSON has, in canonical CBOR: shortest numbers, ordered keys."""
    import cbor2

    return cbor2.dumps(
        [{LABELS[name]: value for name, value in record.items()} for record in records],
        canonical=True,
    )


def _named(record: dict[int | str, Any], where: str) -> dict[str, Any]:
    values = {}
    for label, value in record.items():
        if isinstance(label, str):
            if label in LABELS:
                raise SenmlError(f"{where}: label {label!r}, which CBOR spells {LABELS[label]}")
            values[label] = value
        elif label in _NAMES:
            values[_NAMES[label]] = value
    return values


class _Scan:
    """One walk over the items of a pack (RFC 8949, section 3), item by item and not by byte."""

    def __init__(self, body: bytes, limits: Limits) -> None:
        self._body = body
        self._limits = limits
        self._position = 0
        self._items = 0

    def pack(self) -> list[int]:
        """The number of pairs in each record of the array that the bytes are."""
        major, count = self._head()
        if major != _ARRAY:
            raise SenmlError("SenML: a CBOR array of records is wanted")
        most = self._limits.records
        if count > most:
            raise SenmlError(f"SenML: {count} records where at most {most} are taken")
        sizes = []
        for i in range(count):
            major, size = self._head()
            if major != _MAP:
                raise SenmlError(f"SenML[{i}]: a CBOR map is wanted")
            self._pairs(size, 0)
            sizes.append(size)
        if self._position != len(self._body):
            raise SenmlError(f"SenML: {len(self._body) - self._position} bytes after its end")
        return sizes

    def _head(self) -> tuple[int, int]:
        """Major type and argument of the next item; a string's content is passed over."""
        self._items += 1
        if self._items > self._limits.items:
            raise SenmlError(f"SenML: more than the {self._limits.items} values that are taken")
        if self._position >= len(self._body):
            raise SenmlError("SenML: CBOR cut short")
        major, argument = divmod(self._body[self._position], 32)
        self._position += 1
        if major == _SIMPLE and argument not in _FALSE_TRUE_NULL_FLOATS:
            raise SenmlError(f"SenML: CBOR's simple value {argument} means nothing here")
        if argument > 27:
            raise SenmlError("SenML: CBOR of indefinite length; a pack says its length")
        if argument >= 24:
            size = 1 << (argument - 24)
            argument = int.from_bytes(self._body[self._position : self._position + size], "big")
            self._position += size
        if major in (_BYTES, _TEXT):
            self._position += argument
        if self._position > len(self._body):
            raise SenmlError("SenML: CBOR cut short")
        return major, argument

    def _value(self, depth: int) -> None:
        major, argument = self._head()
        if major == _TAG:
            self._decimal_fraction(argument)
        elif major in (_ARRAY, _MAP):
            if depth == _MAX_DEPTH:
                raise SenmlError("SenML: lists or objects nested too deeply")
            if major == _MAP:
                self._pairs(argument, depth + 1)
            else:
                for _ in range(argument):
                    self._value(depth + 1)

    def _pairs(self, count: int, depth: int) -> None:
        for _ in range(count):
            if self._head()[0] not in _KEYS:
                raise SenmlError("SenML: a label that is neither a number nor a string")
            self._value(depth)

    def _decimal_fraction(self, tag: int) -> None:
        """Exponent and mantissa, the one tag that SenML's numbers may have (RFC 8428, 6)."""
        if tag != _DECIMAL_FRACTION or self._head() != (_ARRAY, 2):
            raise SenmlError(f"SenML: CBOR's tag {tag} means nothing here")
        (major, exponent), (mantissa, _) = self._head(), self._head()
        if not {major, mantissa} <= {_UNSIGNED, _NEGATIVE} or exponent > _MAX_EXPONENT:
            raise SenmlError("SenML: a decimal fraction that no double can hold")
