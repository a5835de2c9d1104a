"""What a push must be, before the registry takes it; nothing changes where it is not."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import DelegatedRole, Metadata, Root

from edge_client.bundle import Budget, BundleError
from edge_client.fleet.errors import FleetError
from serving.registry.errors import BadRequestError, ConflictError, SignatureError
from serving.registry.tuf.create import KeyCounts
from serving.registry.tuf.push import parse_targets
from tests.serving.registry.operator_side import (
    Operator,
    bundle,
    next_targets,
    provenance,
    push,
    signed,
    stored,
)

DATA = bundle("tones", "2.0")


@pytest.fixture
def operator(filled, tmp_path):
    return filled.copy(tmp_path)


@pytest.fixture
def store(operator):
    return operator.store()


@pytest.fixture
def refused(operator, store):
    """Pushes targets content signed by the right key; asserts that nothing changes by it."""
    before = stored(operator.folder)

    def attempt(content, error, match, data=DATA, model="tones", version="2.0", keys=None):
        keys = [operator.targets_key()] if keys is None else keys
        with pytest.raises(error, match=match):
            store.push(model, version, data, signed(content, *keys), "stable")
        assert stored(operator.folder) == before

    return attempt


@pytest.fixture
def current(store):
    return store.repository.contents.targets.signed


def test_unsigned(refused, current):
    content = next_targets(current, DATA, "tones", "2.0")
    refused(content, SignatureError, "signed by 0 of the 1 keys", keys=[])


def test_signed_by_a_key_nobody_knows(refused, current):
    content = next_targets(current, DATA, "tones", "2.0")
    refused(content, SignatureError, "signed by 0 of", keys=[CryptoSigner.generate_ed25519()])


def test_signed_by_the_root(refused, current, operator):
    content = next_targets(current, DATA, "tones", "2.0")
    refused(content, SignatureError, "signed by 0 of", keys=[operator.targets_key("root-1")])


def test_changed_after_it_was_signed(operator, store, current):
    metadata = signed(next_targets(current, DATA, "tones", "2.0"), operator.targets_key())
    metadata.signed.expires += timedelta(days=1)
    with pytest.raises(SignatureError):
        store.push("tones", "2.0", DATA, metadata, None)


def test_too_few_of_the_keys(tmp_path):
    operator = Operator.made(tmp_path, KeyCounts(targets=3, targets_threshold=2))
    store = operator.store()
    content = next_targets(store.repository.contents.targets.signed, DATA, "tones", "2.0")
    first, third = operator.targets_key(), operator.targets_key("targets-3")
    with pytest.raises(SignatureError, match="1 of the 2 keys"):
        store.push("tones", "2.0", DATA, signed(content, first), None)
    metadata = signed(content, first, CryptoSigner.generate_ed25519(), third)
    assert store.push("tones", "2.0", DATA, metadata, None).new
    # The signature that means nothing is not handed on.
    assert len(store.repository.contents.targets.signatures) == 2


def test_another_content_under_a_version(refused, current):
    other = bundle("tones", "1.0", budgets=())
    content = next_targets(current, other, "tones", "1.0")
    refused(content, ConflictError, "versions do not change", data=other, version="1.0")


def test_the_very_same_again(operator, store):
    before = stored(operator.folder)
    again = push(operator, store, "tones", "1.0", "stable")
    assert not again.new
    assert stored(operator.folder) == before
    assert push(operator, store, "tones", "1.0", "canary").serial == again.serial + 1


@pytest.mark.parametrize("step", [-1, 1, 7])
def test_not_the_next_version(refused, current, step):
    content = next_targets(current, DATA, "tones", "2.0")
    content.version += step
    refused(content, ConflictError, "sign again")


def test_expired(refused, current):
    content = next_targets(current, DATA, "tones", "2.0")
    content.expires -= timedelta(days=366)
    refused(content, BadRequestError, "expired")


def test_another_version_gone_or_changed(refused, current):
    content = next_targets(current, DATA, "tones", "2.0")
    del content.targets["bundles/tones/1.0.bundle"]
    refused(content, BadRequestError, "more is new or different")
    content = next_targets(current, DATA, "tones", "2.0")
    content.targets["bundles/tones/1.0.bundle"].length += 1
    refused(content, BadRequestError, "more is new or different")


def test_another_file_beside_it(refused, current):
    content = next_targets(current, DATA, "tones", "2.0")
    content = replace_version(next_targets(content, DATA, "tones", "3.0"), content.version)
    refused(content, BadRequestError, "more is new or different")


def test_a_channel_in_the_name_of_the_targets_key(refused, current):
    content = next_targets(current, DATA, "tones", "2.0")
    target = content.targets["bundles/tones/2.0.bundle"]
    content.targets["channels/tones/stable.json"] = target
    refused(content, BadRequestError, "more is new or different")


def test_other_delegations(refused, current):
    content = next_targets(current, DATA, "tones", "2.0")
    content.delegations.roles["bundles"] = DelegatedRole(
        "bundles", [], 1, terminating=False, paths=["bundles/*/*"]
    )
    refused(content, BadRequestError, "delegations")
    content = next_targets(current, DATA, "tones", "2.0")
    content.delegations = None
    refused(content, BadRequestError, "delegations")


def test_without_the_bundle(refused, current):
    content = next_targets(current, DATA, "tones", "2.0")
    del content.targets["bundles/tones/2.0.bundle"]
    refused(content, BadRequestError, "is not in it")


def test_of_another_length_or_hash(refused, current):
    content = next_targets(current, DATA, "tones", "2.0", length=len(DATA) + 1)
    refused(content, BadRequestError, "bytes is signed")
    content = next_targets(current, DATA, "tones", "2.0", hashes={"sha256": "0" * 64})
    refused(content, BadRequestError, "SHA-256")
    content = next_targets(current, DATA, "tones", "2.0", hashes={"sha512": "0" * 128})
    refused(content, BadRequestError, "SHA-256")


def test_of_another_name_than_its_manifest(refused, current):
    data = bundle("words", "2.0")
    content = next_targets(current, data, "tones", "2.0")
    refused(content, BadRequestError, "the bundle is words 2.0", data=data)


def test_no_bundle(refused, current):
    content = next_targets(current, b"no bundle", "tones", "2.0")
    refused(content, BundleError, "not a bundle", data=b"no bundle")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"version": "9.0"}, "not that of the bundle's manifest"),
        ({"pipeline": "another"}, "not that of the bundle's manifest"),
        ({"run_id": "another"}, "not that of the bundle's manifest"),
        ({"budgets": ()}, "other budgets"),
        ({"budgets": (Budget("accuracy", ">", 1.0, 99.0, "%"),)}, "other budgets"),
    ],
)
def test_of_another_provenance_than_its_manifest(refused, current, changes, match):
    told = replace(provenance("tones", "2.0"), **changes)
    content = next_targets(current, DATA, "tones", "2.0", custom=told.to_custom())
    refused(content, BadRequestError, match)


def test_without_provenance(refused, current):
    content = next_targets(current, DATA, "tones", "2.0", custom={"more": 1})
    refused(content, FleetError, "custom")
    content = next_targets(current, DATA, "tones", "2.0")
    content.targets["bundles/tones/2.0.bundle"].unrecognized_fields["more"] = 1
    refused(content, BadRequestError, "one field custom")


@pytest.mark.parametrize("name", ["..", "../../etc", "a/b", ".hidden", "", "a" * 65, "a\n", "ä"])
def test_names_that_leave_the_folder(operator, store, name):
    before = stored(operator.folder)
    metadata = signed(store.repository.contents.targets.signed, operator.targets_key())
    for model, version in ((name, "1.0"), ("tones", name)):
        with pytest.raises(FleetError):
            store.push(model, version, DATA, metadata, None)
    assert stored(operator.folder) == before


def test_metadata_of_another_role(store):
    root = Metadata(Root())
    with pytest.raises(BadRequestError, match="role root"):
        parse_targets(root.to_dict())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)


@settings(max_examples=150)
@given(st.data())
def test_any_json_is_metadata_or_refused(filled, data):
    """Single parts of real metadata replaced by anything."""
    document = json.loads((filled.folder / "metadata/2.targets.json").read_bytes())
    part, path = document, []
    while isinstance(part, dict) and part and (not path or data.draw(st.booleans())):
        path.append(data.draw(st.sampled_from(sorted(part))))
        parent, part = part, part[path[-1]]
    parent[path[-1]] = data.draw(JSON)
    try:
        metadata = parse_targets(document)
    except BadRequestError:
        return
    assert json.loads(metadata.to_bytes())["signed"]["_type"] == "targets"


def replace_version(content, version):
    content.version = version
    return content
