"""SenML from the outside: any bytes give a pack or one error."""

from __future__ import annotations

import time

from edge_client.files import check_size
from edge_client.senml import draft_form, json_form
from edge_client.senml.cbor_form import decode_cbor
from edge_client.senml.record import MAX_BYTES, Form, Limits, Pack, SenmlError
from edge_client.senml.resolve import resolve

_CBOR_ARRAYS = range(0x80, 0xA0)  # first bytes, none of which can begin JSON
_JSON_SPACE = b" \t\r\n"
_ALL = Limits()


def parse(
    body: bytes, form: Form | None = None, now: float | None = None, limits: Limits = _ALL
) -> Pack:
    """Reads SenML in any of its three forms.

    Args:
        body: at most 16 MiB.
        form: None looks at the first character: ``[`` is JSON, ``{`` the draft form, a CBOR
            array CBOR.
        now: Unix seconds that relative times count from; the clock's when left out.
        limits: of records and of items in all; 10,000 and 300,000 when left out.

    Raises:
        SenmlError: the bytes are not SenML of that form; one line that names the record.
    """
    check_size(len(body), MAX_BYTES, "SenML", SenmlError)
    form = _sniffed(body) if form is None else form
    if form is Form.CBOR:
        entries = decode_cbor(body, limits)
    elif form is Form.JSON:
        entries = json_form.entries(json_form.decode_json(body, limits.items))
    else:
        entries = draft_form.unfolded(json_form.decode_json(body, limits.items))
    if not 1 <= len(entries) <= limits.records:
        raise SenmlError(f"SenML: {len(entries)} records where 1 to {limits.records} are taken")
    return Pack(form, resolve(entries, form, time.time() if now is None else now))


def _sniffed(body: bytes) -> Form:
    if body[:1] and body[0] in _CBOR_ARRAYS:
        return Form.CBOR
    text = body.lstrip(_JSON_SPACE)
    if not text:
        raise SenmlError("SenML: empty; a pack of records is wanted")
    forms = {b"[": Form.JSON, b"{": Form.DRAFT}
    if text[:1] not in forms:
        raise SenmlError("SenML: neither JSON nor a CBOR array")
    return forms[text[:1]]
