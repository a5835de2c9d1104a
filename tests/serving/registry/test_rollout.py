"""The rollout's state machine: nobody before their group, nothing forward without success."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_client.fleet.report import ModelReport, Slot
from serving.registry.rollouts import rollout_file
from serving.registry.rollouts.rollout import (
    EMPTY_PATIENCE_S,
    Moment,
    StagedRollout,
    Status,
    StepError,
    abort,
    begin,
    judge,
    pause,
    resume,
)
from serving.registry.rollouts.rollout_counts import COUNTED, Counts, standing
from serving.registry.rollouts.rollout_plan import Group, Membership, Plan, whole_fleet

OLD, NEW = "1.0", "2.0"
SINCE = "2026-11-20T12:00:00Z"
NOW = Moment("2026-11-20T12:00:00Z", "olga")
PATIENCE_S = 60.0


def plan(*groups: Group, **changes) -> Plan:
    asked = {"success": 0.9, "errors": 0.1, "minimum": 1, "patience_s": PATIENCE_S, **changes}
    return Plan("kws", "stable", NEW, whole_fleet(groups), **asked)


def begun(*groups: Group, **changes) -> StagedRollout:
    return begin("r1", plan(*groups, **changes), OLD, NOW)


CANARY = Group("canary", ("pi-1", "pi-2"))


def report(rollout: str | None = "r1", **changes) -> ModelReport:
    said = ModelReport(
        model="kws",
        channel="stable",
        state="active",
        wanted=NEW,
        progress=1.0,
        active=Slot(OLD, "a", SINCE),
        previous=None,
        reason="",
        failed=(),
        rollout=rollout,
    )
    return replace(said, **changes)


RUNS_NEW = Slot(NEW, "b", SINCE)


@pytest.mark.parametrize(
    ("said", "online", "stands"),
    [
        (report(active=RUNS_NEW), True, "active"),
        (report(active=RUNS_NEW), False, "active"),
        (report(active=RUNS_NEW, rollout=None), True, "active"),  # had it before
        (report(state="idle", rollout=None), True, ""),
        (report(state="idle", rollout=None), False, "away"),
        (report(state="downloading", progress=0.2), True, "begun"),
        (report(state="testing"), False, "begun"),  # and gone since
        (report(state="rolled_back", failed=(NEW,)), True, "failed"),
        (report(state="idle", failed=(NEW,)), True, "failed"),
        (report(state="refused", reason="signature"), True, "failed"),
        (report(state="rolled_back", failed=(NEW,), rollout="r0"), True, ""),  # another time
        (report(state="downloading", rollout="r0"), True, ""),
        (report(state="refused", reason="freeze", active=RUNS_NEW), True, ""),  # not its fault
        (None, False, "away"),
        (None, True, ""),
    ],
)
def test_how_a_device_stands(said, online, stands):
    assert standing(said, online, "r1", NEW) == stands


def test_the_canaries_come_first_and_the_rest_after_their_success():
    rollout = begun(CANARY)
    assert rollout.channel_state().version_for("pi-1") == NEW
    assert rollout.channel_state().version_for("pi-3") == OLD
    waiting = judge(rollout, [Counts(2, active=1)], 1, NOW)
    assert waiting.reached == 0 and waiting.status is Status.RUNNING
    further = judge(waiting, [Counts(2, active=2)], 1, NOW)
    assert further.reached == 1 and further.waited_s == 0
    assert further.channel_state().version_for("pi-3") == NEW
    finished = judge(further, [Counts(2, active=2), Counts(10, active=9)], 1, NOW)
    assert finished.status is Status.FINISHED
    assert finished.channel_state().version == NEW and finished.channel_state().rollout is None
    assert [event.what for event in finished.history] == ["started", "advanced", "finished"]
    assert finished.history[1].counts == Counts(2, active=2)
    assert finished.history[1].group == "canary"


def test_too_many_errors_revert():
    rollout = judge(begun(CANARY), [Counts(2, active=1, failed=1)], 1, NOW)
    assert rollout.status is Status.REVERTED
    assert rollout.channel_state().version == OLD and rollout.channel_state().rollout is None
    assert "1 of 2 devices of group canary failed" in rollout.history[-1].why


def test_devices_that_are_away_hide_no_error():
    counts = Counts(1000, failed=1, away=995)
    assert judge(begun(CANARY), [counts], 1, NOW).status is Status.REVERTED


def test_a_group_passed_long_ago_still_reverts():
    later = replace(begun(CANARY), reached=1)
    counts = [Counts(2, active=1, failed=1), Counts(10, active=5)]
    assert judge(later, counts, 1, NOW).status is Status.REVERTED


def test_a_paused_one_goes_no_further_but_still_reverts():
    stopped = pause(begun(CANARY), Counts(), NOW)
    assert judge(stopped, [Counts(2, active=2)], 1000, NOW) == stopped
    assert judge(stopped, [Counts(2, failed=2)], 1, NOW).status is Status.REVERTED


def test_the_minimum_must_be_heard():
    rollout = begun(Group("tenth", share=0.1), minimum=5)
    assert judge(rollout, [Counts(20, active=4, away=16)], 1, NOW).reached == 0
    # Patience is over: four are not five, though all that are there have it.
    late = judge(rollout, [Counts(20, active=4, away=16)], PATIENCE_S, NOW)
    assert late.status is Status.PAUSED and late.reached == 0
    assert judge(rollout, [Counts(20, active=5, away=15)], PATIENCE_S, NOW).reached == 1


def test_patience_leaves_out_who_is_away_but_not_who_has_begun():
    rollout = begun(Group("tenth", share=0.1), errors=0.2)
    away = Counts(10, active=4, away=6)
    assert judge(rollout, [away], PATIENCE_S - 1, NOW).reached == 0
    assert judge(rollout, [away], PATIENCE_S, NOW).reached == 1
    stuck = Counts(10, active=4, begun=2, away=4)
    assert judge(rollout, [stuck], PATIENCE_S - 1, NOW).status is Status.RUNNING
    assert judge(rollout, [stuck], PATIENCE_S, NOW).status is Status.REVERTED
    idle = Counts(10, active=4, away=4)  # two are there and do nothing
    assert judge(rollout, [idle], PATIENCE_S, NOW).status is Status.PAUSED


def test_who_comes_back_and_begins_while_it_is_paused_is_no_failure():
    rollout = begun(Group("tenth", share=0.1), errors=0.05, minimum=9)
    paused = judge(rollout, [Counts(10, active=8, away=2)], PATIENCE_S, NOW)
    assert paused.status is Status.PAUSED
    assert judge(paused, [Counts(10, active=8, begun=2)], 1, NOW) == paused


def test_success_out_of_reach_pauses_at_once():
    rollout = begun(Group("tenth", share=0.1), errors=0.5)
    stopped = judge(rollout, [Counts(10, active=6, failed=4)], 1, NOW)
    assert stopped.status is Status.PAUSED
    assert "only 6 of 10" in stopped.history[-1].why


def test_patience_begins_anew_with_every_group_and_every_resumption():
    rollout = judge(begun(CANARY), [Counts(2)], PATIENCE_S, NOW)
    assert rollout.status is Status.PAUSED
    again = resume(rollout, Counts(), NOW)
    assert judge(again, [Counts(2)], PATIENCE_S - 1, NOW).status is Status.RUNNING


def test_a_group_without_devices_is_passed_only_after_somebody_was_heard():
    rollout = begun(Group("tenth", share=0.1))
    assert judge(rollout, [Counts()], PATIENCE_S, NOW).status is Status.PAUSED
    later = replace(begun(CANARY, Group("tenth", share=0.1)), reached=1)
    counts = [Counts(2, active=2), Counts()]
    assert judge(later, counts, EMPTY_PATIENCE_S - 1, NOW).reached == 1
    assert judge(later, counts, EMPTY_PATIENCE_S, NOW).reached == 2


def test_what_is_over_stays_so():
    over = abort(begun(CANARY), Counts(), NOW)
    assert over.channel_state().version == OLD
    assert judge(over, [Counts(2, active=2)], 1, NOW) == over
    for step in (pause, resume, abort):
        with pytest.raises(StepError, match="aborted"):
            step(over, Counts(), NOW)


def test_only_a_running_one_pauses_and_only_a_paused_one_resumes():
    with pytest.raises(StepError, match="running"):
        resume(begun(CANARY), Counts(), NOW)
    with pytest.raises(StepError, match="paused"):
        pause(pause(begun(CANARY), Counts(), NOW), Counts(), NOW)


names = st.integers(0, 30).map("pi-{}".format)
named = st.lists(names, min_size=1, max_size=4, unique=True)
groups = st.lists(
    st.one_of(
        st.builds(lambda devices: Group("named", tuple(devices)), named),
        st.builds(lambda share: Group("share", share=share), st.floats(0, 1)),
    ),
    max_size=4,
)
ratios = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0])
plans = st.builds(
    lambda chosen, success, errors, minimum: plan(
        *chosen, success=success, errors=errors, minimum=minimum
    ),
    groups,
    ratios,
    ratios,
    st.integers(1, 4),
)
# What a device makes of the new version, and after how many steps.
fates = st.tuples(st.sampled_from(["active", "failed", "begun", "away", ""]), st.integers(0, 6))
fleets = st.dictionaries(names, fates, max_size=25)
actions = st.lists(
    st.sampled_from(["judge", "judge", "judge", "wait", "pause", "resume", "abort"]), max_size=25
)


def counted(rollout: StagedRollout, fleet: dict[str, tuple[str, int]], step: int) -> list[Counts]:
    """As the driver counts: a device does something only once its channel offers it the version."""
    offered = rollout.channel_state()
    membership = Membership(rollout.id, rollout.plan)
    found = [Counter() for _ in rollout.plan.groups]
    for device, (fate, after) in fleet.items():
        has_it = offered.version_for(device) == NEW and step >= after
        found[membership.group_of(device)].update(["members", fate if has_it else ""])
    reached = found[: rollout.reached + 1]
    return [Counts(**{each: stands[each] for each in COUNTED}) for stands in reached]


def next_step(
    rollout: StagedRollout, action: str, counts: list[Counts]
) -> tuple[StagedRollout, bool]:
    """The rollout after an action, and whether it was a judgement."""
    if action in ("judge", "wait"):
        return judge(rollout, counts, PATIENCE_S if action == "wait" else 1, NOW), True
    try:
        step = {"pause": pause, "resume": resume, "abort": abort}[action]
        return step(rollout, counts[-1], NOW), False
    except StepError:
        return rollout, False


@given(plans, fleets, actions, st.integers(0, 25))
def test_whatever_happens(asked, fleet, acts, killed_after):
    rollout = twin = begin("r1", asked, OLD, NOW)
    for step, action in enumerate(acts):
        counts = counted(rollout, fleet, step)
        after, judged = next_step(rollout, action, counts)

        # One group at a time, and only after success in the one before.
        assert after.reached - rollout.reached in (0, 1)
        if after.reached > rollout.reached or after.status is Status.FINISHED != rollout.status:
            assert judged and rollout.status is Status.RUNNING
            last = counts[-1]
            there = last.members if action == "judge" else last.there
            assert last.members == 0 or last.active / max(there, last.active, 1) >= asked.success
            assert sum(each.active + each.failed + each.begun for each in counts) >= asked.minimum
            assert not any(
                each.failed / each.there > asked.errors
                for each in counts
                if each.there >= asked.minimum
            )

        # Nobody outside the groups reached has it; who is in them does, until it is over.
        offered, membership = after.channel_state(), Membership(after.id, after.plan)
        for device in (*fleet, *(f"new-{i}" for i in range(5))):
            reached = membership.group_of(device) <= after.reached
            if after.status is Status.FINISHED or (reached and not after.status.over):
                assert offered.version_for(device) == NEW
            else:
                assert offered.version_for(device) == OLD

        # A registry that starts again goes on to the same end.
        if step == killed_after:
            twin = rollout_file.parse(rollout_file.serialise(twin))
        twin, _ = next_step(twin, action, counted(twin, fleet, step))
        rollout = after
        assert twin == rollout
        assert rollout.status is not Status.REVERTED or rollout.history[-1].what == "reverted"


@given(st.binary(max_size=200) | st.from_regex(r'\{"id":.{0,50}\}', fullmatch=True).map(str.encode))
def test_a_file_of_another_kind_is_refused(data):
    with pytest.raises((ValueError, RecursionError)):
        rollout_file.parse(data)


def test_a_file_with_a_group_too_few_is_refused():
    text = rollout_file.serialise(begun(CANARY)).replace(b'"reached": 0', b'"reached": 2')
    with pytest.raises(ValueError, match="reached"):
        rollout_file.parse(text)
