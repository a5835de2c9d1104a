"""What the registry and the devices say to one another, back and forth, and garbled."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_client.fleet import errors
from edge_client.fleet.channel import MAX_CHANNEL_BYTES, ChannelState, Rollout, fraction
from edge_client.fleet.errors import FleetError, UpdateRefused
from edge_client.fleet.names import NAME, check_name
from edge_client.fleet.paths import bundle_target, channel_target
from edge_client.fleet.report import (
    MAX_FAILED,
    MAX_REASON,
    MAX_REPORT_BYTES,
    STATES,
    DeviceStatus,
    ModelReport,
    ReportError,
    Slot,
    UsageReport,
    utc_text,
)
from edge_client.fleet.topics import Topics

names = st.from_regex(NAME, fullmatch=True)
times = st.integers(0, 2**32).map(utc_text)
rollouts = st.builds(
    Rollout,
    id=names,
    version=names,
    devices=st.lists(names, unique=True, max_size=5).map(tuple),
    share=st.floats(0, 1),
)
channels = st.builds(
    ChannelState,
    model=names,
    channel=names,
    version=st.none() | names,
    rollout=st.none() | rollouts,
)
slots = st.builds(Slot, version=names, slot=st.sampled_from("ab"), since=times)
printable = st.text(st.characters(exclude_categories=("C", "Z")))
reports = st.builds(
    ModelReport,
    model=names,
    channel=names,
    state=st.sampled_from(STATES),
    wanted=st.none() | names,
    progress=st.floats(0, 1),
    active=st.none() | slots,
    previous=st.none() | slots,
    reason=printable.map(lambda text: text[:MAX_REASON]),
    failed=st.lists(names, unique=True, max_size=5).map(tuple),
    rollout=st.none() | names,
)
statuses = st.builds(DeviceStatus, online=st.booleans(), client=printable.filter(bool), since=times)
usages = st.builds(
    UsageReport,
    model=names,
    version=names,
    inferences=st.integers(0, 2**53),
    latency_ms=st.fixed_dictionaries({name: st.floats(0, 1e9) for name in ("p50", "p95", "p99")}),
    since=times,
)


@given(names)
def test_a_name_is_a_name(text):
    assert check_name(text, "model") == text
    assert bundle_target(text, text) == f"bundles/{text}/{text}.bundle"
    assert channel_target(text, text) == f"channels/{text}/{text}.json"


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "../a",
        "a/b",
        "a\\b",
        "-a",
        ".a",
        "_a",
        "a b",
        "a\n",
        "a\0",
        "é",
        "+",
        "a" * 65,
    ],
)
@pytest.mark.parametrize("use", [check_name, bundle_target, channel_target])
def test_what_is_no_name_goes_nowhere(use, text):
    with pytest.raises(FleetError, match="letters, digits"):
        use("model" if use is not check_name else text, text)


@given(st.text())
def test_no_name_leaves_its_folder(text):
    try:
        path = bundle_target(text, text)
    except FleetError:
        return
    assert path.count("/") == 2 and ".." not in path.split("/") and path.isprintable()


@given(channels)
def test_a_channel_reads_back(state):
    assert ChannelState.parse(state.serialise()) == state
    assert json.loads(state.serialise()) == state.to_json()


@given(channels, names)
def test_a_device_has_the_rollouts_version_or_the_channels(state, device):
    version = state.version_for(device)
    if state.rollout is None:
        assert version == state.version
        return
    everybody = replace(state, rollout=replace(state.rollout, share=1.0))
    nobody = replace(state, rollout=replace(state.rollout, share=0.0, devices=()))
    named = replace(nobody, rollout=replace(state.rollout, share=0.0, devices=(device,)))
    assert everybody.version_for(device) == named.version_for(device) == state.rollout.version
    assert nobody.version_for(device) == state.version


def test_a_share_takes_as_many_devices_and_keeps_them_when_it_grows():
    devices = [f"pi-{number}" for number in range(2000)]
    tenth = {device for device in devices if fraction(device, "r1") < 0.1}
    half = {device for device in devices if fraction(device, "r1") < 0.5}
    assert 140 < len(tenth) < 260 and 900 < len(half) < 1100
    assert tenth < half
    assert half != {device for device in devices if fraction(device, "r2") < 0.5}
    assert fraction("pi-7", "r1") == 0.21965186147141838


def test_the_largest_rollout_fits():
    devices = tuple(f"{number:064}" for number in range(10_000))
    state = ChannelState("m", "c", "1", Rollout("r", "2", devices, 0))
    assert len(state.serialise()) <= MAX_CHANNEL_BYTES
    assert ChannelState.parse(state.serialise()) == state


CHANNEL = {
    "model": "kws-a",
    "channel": "stable",
    "version": "1",
    "rollout": {"id": "r", "version": "2", "devices": ["pi-1"], "share": 0.5},
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("model",), "../kws-a"),
        (("channel",), ""),
        (("version",), 1),
        (("more",), 1),
        (("rollout",), []),
        (("rollout", "share"), 1.5),
        (("rollout", "share"), -0.1),
        (("rollout", "share"), float("nan")),
        (("rollout", "devices"), ["a/b"]),
        (("rollout", "devices"), ["a", "a"]),
        (("rollout", "devices"), "pi-1"),
        (("rollout", "id"), None),
        (("rollout", "more"), 1),
    ],
)
def test_a_channel_that_is_none_is_refused(path, value):
    wrong = json.loads(json.dumps(CHANNEL))
    ChannelState.parse(json.dumps(wrong).encode())
    place = wrong
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    with pytest.raises(FleetError) as refused:
        ChannelState.parse(json.dumps(wrong).encode())
    assert "\n" not in str(refused.value)


@given(reports)
def test_a_model_report_reads_back(report):
    assert ModelReport.parse(report.serialise()) == report


@given(statuses)
def test_a_status_reads_back(status):
    assert DeviceStatus.parse(status.serialise()) == status


@given(usages)
def test_usage_reads_back(usage):
    assert UsageReport.parse(usage.serialise()) == usage


def test_the_longest_report_fits():
    longest = "v" * 61
    report = ModelReport(
        model=longest,
        channel=longest,
        state="downloading",
        wanted=longest,
        progress=0.1234567890123,
        active=Slot(longest, "a", utc_text(0)),
        previous=Slot(longest, "b", utc_text(0)),
        reason="𝄞" * MAX_REASON,
        failed=tuple(f"{longest}{number:03}" for number in range(MAX_FAILED)),
        rollout=longest,
    )
    assert len(report.serialise()) <= MAX_REPORT_BYTES
    assert ModelReport.parse(report.serialise()) == report


@pytest.mark.parametrize("kind", [ModelReport, DeviceStatus, UsageReport])
@pytest.mark.parametrize(
    "data",
    [b"", b"null", b"[]", b"{", b"{}", b"\xff", b"[" * 5000, b'{"a":1,"a":1}', b" " * 8193],
)
def test_what_is_no_report_is_refused_in_one_line(kind, data):
    with pytest.raises(ReportError) as refused:
        kind.parse(data)
    assert "\n" not in str(refused.value)


@given(st.sampled_from([ModelReport, DeviceStatus, UsageReport, ChannelState]), st.binary())
def test_bytes_of_any_kind_are_refused(kind, data):
    with pytest.raises(FleetError):
        kind.parse(data)


@given(reports, st.data())
def test_a_report_with_a_field_of_another_kind_is_refused(report, data):
    values = report.to_json()
    field = data.draw(st.sampled_from(sorted(values)))
    values[field] = data.draw(st.sampled_from([True, -1, 2, [1], {}, "\n"]))
    with pytest.raises(ReportError):
        ModelReport.parse(json.dumps(values).encode())


@given(names, names, st.sampled_from(["ml4iot", "a/b", "/x"]))
def test_topics_are_told_apart_again(first, second, prefix):
    topics = Topics(prefix)
    for kind, topic, what in (
        ("announcement", topics.announcement(first, second), second),
        ("status", topics.status(first), ""),
        ("model", topics.model(first, second), second),
        ("usage", topics.usage(first, second), second),
        ("alarm", topics.alarm(first, second), second),
    ):
        said = topics.read(topic)
        assert (said.kind, said.who, said.what) == (kind, first, what)


@given(st.text())
def test_other_topics_are_none_of_ours(text):
    said = Topics().read(text)
    assert said is None or text.startswith("ml4iot/")


@pytest.mark.parametrize("prefix", ["", "a/", "+", "a/#", "$SYS", "é", "a\n", "a" * 201])
def test_a_prefix_that_makes_no_topics(prefix):
    with pytest.raises(FleetError, match="prefix"):
        Topics(prefix)


def test_every_refusal_has_a_word_of_its_own():
    kinds = [each for each in vars(errors).values() if isinstance(each, type)]
    words = [each.reason for each in kinds if issubclass(each, UpdateRefused)]
    assert len(set(words)) == len(words) > 12
