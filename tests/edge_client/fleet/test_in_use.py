"""A model in use: what crashes, hangs, fails or is too slow is given up for what was before."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from edge_client.bundle import bundle_bytes, pack_model
from edge_client.fleet.installed.boot import since_boot
from edge_client.fleet.installed.home import Home
from edge_client.fleet.installed.journal import Crashes
from edge_client.fleet.installed.slots import Slots
from edge_client.fleet.use import probation
from edge_client.fleet.use.in_use import ModelInUse, NotInstalled, load_installed
from edge_client.fleet.use.probation import CRASHES, FIRST_USES, Probation
from edge_client.fleet.use.usage import read_usage
from edge_client.interpreter import ModelError
from edge_client.predictor import Latency
from tests.edge_client import tiny
from tests.edge_client.fleet.installed import install, keyword_bundle, state

REPOSITORY = Path(__file__).resolve().parents[3]
CLIP = tiny.EXAMPLES["low"]
KILLED = 9

# Answers some clips, then dies inside the model in one way or another.
DIES = f"""
import os, sys, time
from pathlib import Path
from edge_client.fleet.installed.home import Home
from edge_client.fleet.use.in_use import ModelInUse, load_installed
import numpy as np
home, answers, how = Home(Path(sys.argv[1])), int(sys.argv[2]), sys.argv[3]
clip = np.zeros(16000, np.int16)
def load(bundle, use):
    if how == "loading" and bundle.manifest.version == sys.argv[4]:
        os._exit({KILLED})
    return load_installed(bundle, use)
with ModelInUse(home, "tones", load, print) as use:
    for _ in range(answers):
        use.predictor(clip, 16000)
    if how in ("inside", "waiting"):
        use.started()
    if how == "waiting":
        print("inside", flush=True)
        time.sleep(60)
    if how == "interrupted":
        use.started()
        raise KeyboardInterrupt
    os._exit({KILLED})
"""


# Asks a model for one answer, which may take a second of the processor and no more.
HANGS = """
import sys
from pathlib import Path
import numpy as np
from edge_client.fleet.installed.home import Home
from edge_client.fleet.use.in_use import ModelInUse, load_installed
from edge_client.interpreter import litert
litert()
with ModelInUse(Home(Path(sys.argv[1])), "tones", load_installed, print, longest_s=1.0) as use:
    use.predictor(np.zeros(16000, np.int16), 16000)
"""


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


@pytest.fixture(scope="module")
def parts():
    return tiny.keyword_parts()


@pytest.fixture
def two(home, parts):
    """Version 1 proven, version 2 new."""
    install(home, "tones", "1", keyword_bundle("1", parts=parts))
    Slots(home, "tones").journal.change(lambda journal: journal.with_proven("1"))
    install(home, "tones", "2", keyword_bundle("2", parts=parts))
    return home


@pytest.fixture
def endless(home, parts):
    """Version 1 proven, version 2 one that never answers."""
    manifest, _ = parts
    entry, packed = pack_model(
        tiny.endless_model((1, *tiny.FEATURES.shape, 1), len(tiny.LABELS)), "none"
    )
    install(home, "tones", "1", keyword_bundle("1", parts=parts))
    Slots(home, "tones").journal.change(lambda journal: journal.with_proven("1"))
    hanging = replace(manifest, version="2", model=entry)
    install(home, "tones", "2", bundle_bytes(hanging, packed, "endless"))
    return home


def dies(home, answers, how, version="2"):
    program = [sys.executable, "-c", DIES, str(home.path), str(answers), how, version]
    return subprocess.run(program, cwd=REPOSITORY, capture_output=True, timeout=60).returncode


@pytest.fixture
def use(home):
    opened = []

    def open_model(model="tones"):
        said = []
        opened.append(ModelInUse(home, model, load_installed, said.append))
        opened[-1].said = said
        return opened[-1]

    yield open_model
    for one in opened:
        one.close()


def hangs(home):
    program = [sys.executable, "-c", HANGS, str(home.path)]
    return subprocess.run(program, cwd=REPOSITORY, capture_output=True, timeout=60).returncode


def answer(model, times, total=1.0):
    for _ in range(times):
        model.started()
        model.answered(Latency(0.0, total, total))


def test_a_model_proves_itself(two, use):
    model = use()
    assert (model.version, model.bundle.manifest.version) == ("2", "2")
    assert model.predictor(CLIP, 16000).label == "low"
    answer(model, FIRST_USES - 2)
    assert Probation(two, "tones").of("2")
    answer(model, 1)
    assert not Probation(two, "tones").of("2")
    assert state(two, "tones") == ("2", "1", {})
    assert read_usage(two.model("tones") / "in_use", "2").inferences == FIRST_USES
    assert model.said == []


@pytest.mark.parametrize(("answers", "how"), [(0, "loading"), (0, "inside"), (3, "inside")])
def test_what_brings_its_process_down_is_given_up_at_the_next_start(two, use, answers, how):
    assert dies(two, answers, how) == KILLED
    assert state(two, "tones") == ("2", "1", {})
    model = use()
    assert model.version == "1"
    assert state(two, "tones") == ("1", None, {"2": "crash"})
    assert len(model.said) == 1 and f"crashed or hung after {answers} answers" in model.said[0]
    assert model.predictor(CLIP, 16000).label == "low"


def test_what_never_answers_ends_its_process_and_is_given_up_at_the_next_start(endless, use):
    assert hangs(endless) == -signal.SIGVTALRM
    assert state(endless, "tones") == ("2", "1", {})
    assert use().predictor(CLIP, 16000).label == "low"
    assert state(endless, "tones") == ("1", None, {"2": "crash"})


def test_a_proven_version_that_hangs_again_and_again_is_given_up(endless, use):
    Slots(endless, "tones").journal.change(lambda journal: journal.with_proven("2"))
    for _ in range(CRASHES):
        assert state(endless, "tones") == ("2", "1", {})
        assert hangs(endless) == -signal.SIGVTALRM
    assert use().version == "1"
    assert state(endless, "tones") == ("1", None, {"2": "crash"})


@pytest.mark.parametrize("how", ["outside", "interrupted"])
def test_who_dies_of_something_else_does_not_blame_the_model(two, use, how):
    assert dies(two, 3, how) != 0
    assert use().version == "2"
    assert state(two, "tones") == ("2", "1", {})


def test_a_crash_after_the_first_uses_is_not_the_new_models_fault(two, use):
    assert dies(two, FIRST_USES, "inside") == KILLED
    model = use()
    assert (model.version, model.said) == ("2", [])
    assert state(two, "tones") == ("2", "1", {})
    assert not Probation(two, "tones").of("2")


def test_what_keeps_crashing_is_given_up_though_it_was_proven(two, use):
    assert dies(two, FIRST_USES, "inside") == KILLED
    for _ in range(CRASHES - 1):  # each of them looks at the one before
        assert state(two, "tones") == ("2", "1", {})
        assert dies(two, 1, "inside") == KILLED
    model = use()
    assert model.version == "1"
    assert state(two, "tones") == ("1", None, {"2": "crash"})
    assert f"crashed or hung {CRASHES} times" in model.said[0]
    # Taken again, by a person who knows better, it begins anew.
    assert Slots(two, "tones").journal.read().crashes == Crashes()


def test_crashes_longer_ago_than_an_hour_do_not_count(two, use, monkeypatch):
    assert dies(two, FIRST_USES, "inside") == KILLED
    now = since_boot()
    for hours in range(1, 2 * CRASHES):
        monkeypatch.setattr(probation, "since_boot", lambda hours=hours: now + 1801 * hours)
        Probation(two, "tones").judge()
        assert state(two, "tones") == ("2", "1", {})
        assert dies(two, 0, "inside") == KILLED


def test_crashes_of_another_start_of_the_system_do_not_count(two, use, monkeypatch, tmp_path):
    """Its clock begins anew: nobody knows how long ago they were."""
    path = two.model("tones") / "journal.json"
    assert dies(two, FIRST_USES, "inside") == KILLED
    for _ in range(2 * CRASHES):
        Probation(two, "tones").judge()
        document = json.loads(path.read_text())
        assert len(document["crashes"]["at"]) == 1
        document["crashes"]["boot"] = "01234567-89ab-cdef-0123-456789abcdef"
        path.write_text(json.dumps(document))
        assert dies(two, 0, "inside") == KILLED
    assert use().version == "2"


def test_processes_that_die_together_are_one_crash(two):
    """Killed by a system that ran out of memory, say."""
    Slots(two, "tones").journal.change(lambda journal: journal.with_proven("2"))
    program = [sys.executable, "-c", DIES, str(two.path), "0", "waiting"]
    running = [
        subprocess.Popen(program, cwd=REPOSITORY, stdout=subprocess.PIPE) for _ in range(CRASHES)
    ]
    for process in running:
        assert process.stdout.readline() == b"inside\n"
    for process in running:
        process.kill()
        process.communicate(timeout=60)
    assert Probation(two, "tones").judge() is None
    assert len(Slots(two, "tones").journal.read().crashes.at) == 1
    assert state(two, "tones") == ("2", "1", {})


def test_a_proven_version_without_one_before_stays(home, parts, use):
    install(home, "tones", "1", keyword_bundle("1", parts=parts))
    assert dies(home, FIRST_USES, "inside") == KILLED
    for _ in range(CRASHES):
        assert dies(home, 0, "inside") == KILLED
    model = use()
    assert (model.version, model.said) == ("1", [])
    assert state(home, "tones") == ("1", None, {})
    assert not Probation(home, "tones").of("1")


def test_an_only_model_that_crashes_stays(home, parts, use):
    install(home, "tones", "1", keyword_bundle("1", parts=parts))
    assert dies(home, 1, "inside") == KILLED
    for _ in range(2):  # a bad model is better than none
        assert use().version == "1"
    assert state(home, "tones") == ("1", None, {"1": "crash"})


@pytest.mark.parametrize(("total_ms", "stays"), [(5.0, True), (2.0, False)])
def test_what_misses_its_latency_budget_in_use_is_given_up(home, parts, use, total_ms, stays):
    install(home, "tones", "1", keyword_bundle("1", parts=parts))
    install(home, "tones", "2", keyword_bundle("2", parts=parts, total_ms=total_ms))
    model = use()
    answer(model, FIRST_USES // 2, total=4.0)
    answer(model, FIRST_USES - FIRST_USES // 2 - 1, total=3.9)
    assert model.follow() is False
    answer(model, 1, total=4.0)
    assert model.follow() is not stays
    if stays:
        assert state(home, "tones") == ("2", "1", {})
    else:
        assert state(home, "tones") == ("1", None, {"2": "latency"})
        assert model.version == "1"
        assert "median" in model.said[0]


def test_processes_are_judged_together(two):
    """None of them sees enough answers on its own; the service does."""
    opened = [ModelInUse(two, "tones", load_installed, print) for _ in range(3)]
    for model in opened:
        answer(model, FIRST_USES // 2)
    probation = Probation(two, "tones")
    assert probation.of("2")
    assert probation.judge() is None
    assert not probation.of("2")
    for model in opened:
        model.close()


def test_a_model_that_fails_is_given_up_at_once(two, use):
    model = use()
    model.started()
    model.failed(ModelError("an operation fails"))
    assert state(two, "tones") == ("1", None, {"2": "crash"})
    assert model.follow() and model.version == "1"


def test_what_this_client_cannot_load_is_given_up(two, use, parts):
    """A model of other tensors than its manifest says: it passes every hash."""
    manifest, _ = parts
    entry, packed = pack_model(tiny.linear_model([[1.0]], [0.0], (1, 1)), "none")
    bad = bundle_bytes(replace(manifest, version="3", model=entry), packed, "bad")
    Slots(two, "tones").journal.change(lambda journal: journal.with_proven("2"))
    running = use()
    install(two, "tones", "3", bad)
    assert running.follow() is False  # it goes on with what it has
    assert running.version == "2"
    assert state(two, "tones") == ("2", None, {"3": "bundle"})
    assert use().version == "2"


def test_a_slot_the_disk_has_lost_is_left(two, use):
    slot = Slots(two, "tones").active()
    data = bytearray(slot.bundle.read_bytes())
    data[len(data) // 2] ^= 1
    slot.bundle.write_bytes(data)
    assert use().version == "1"


def test_nothing_installed(home, use):
    with pytest.raises(NotInstalled, match="ml4iot-edge pull"):
        use("tones")


def test_a_running_process_follows_and_counts_for_what_it_runs(two, use, parts):
    model = use()
    answer(model, 3)
    assert model.follow() is False
    install(two, "tones", "3", keyword_bundle("3", parts=parts))
    assert model.follow() is True
    assert model.version == "3"
    answer(model, 2)
    folder = two.model("tones") / "in_use"
    assert read_usage(folder, "3").inferences == 2
    assert "3 is used from now on, instead of 2" in model.said[0]


def test_going_back_happens_once_however_many_notice(two):
    for _ in range(3):
        assert dies(two, 1, "inside") == KILLED
    judges = [Probation(two, "tones") for _ in range(4)]
    threads = [threading.Thread(target=judge.judge) for judge in judges]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert state(two, "tones") == ("1", None, {"2": "crash"})


def test_going_back_that_was_cut_short_is_finished(two, use, monkeypatch):
    slots = Slots(two, "tones")
    with monkeypatch.context() as cut:
        cut.setattr(Slots, "_leave", lambda *_: None)
        slots.back(version="2", reason="crash", text="fell")
    assert state(two, "tones")[0] == "2"
    assert use().version == "1"


def test_a_signal_in_the_middle_of_an_answer(two, use):
    """SIGTERM ends most services; it is no crash."""
    model = use()
    model.started()
    # Whoever starts the tests in the background may have them ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    model.failed(KeyboardInterrupt())
    model.close()
    assert use().version == "2"
