"""Taking up and letting go of versions, with real SavedModels in a real folder."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from serving.embedded.errors import ServingError
from serving.embedded.metrics import ServerMetrics
from serving.embedded.model_config import ConfigError, ModelConfig, VersionPolicy, read
from serving.embedded.versions import MAX_ENDED_VERSIONS, VersionManager
from tests.serving.models import write_scale

PATIENCE_S = 60


@pytest.fixture(scope="module")
def scales(tmp_path_factory) -> Path:
    """Versions 1 to 3 of a model that multiplies by 10, 20 and 30, to be copied from."""
    folder = tmp_path_factory.mktemp("scales")
    for version in (1, 2, 3):
        write_scale(folder, version, 10.0 * version)
    return folder


def copy(scales: Path, version: int, base: Path, name: str | None = None) -> Path:
    return Path(shutil.copytree(scales / str(version), base / (name or str(version))))


def manager_of(base: Path, **config) -> VersionManager:
    manager = VersionManager([ModelConfig("scale", base, **config)], ServerMetrics())
    manager.poll(settle=False)
    return manager


def ask(manager: VersionManager, number=None, label=None) -> float:
    with manager.lease("scale", number, label) as (_, model):
        return float(model.signature("").run({"x": np.float32([1.0])})["y"][0])


def states(manager: VersionManager) -> dict[int, str]:
    return {version.number: version.state for version in manager.known_versions("scale")}


def wait_for(condition) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_newest_serves_and_the_one_before_comes_back(scales, tmp_path):
    copy(scales, 1, tmp_path)
    manager = manager_of(tmp_path)
    assert ask(manager) == 10.0
    copy(scales, 2, tmp_path)
    manager.poll(settle=False)
    assert ask(manager) == 20.0
    wait_for(lambda: states(manager) == {1: "END", 2: "AVAILABLE"})
    shutil.rmtree(tmp_path / "2")
    manager.poll(settle=False)
    assert ask(manager) == 10.0
    wait_for(lambda: states(manager) == {1: "AVAILABLE", 2: "END"})
    with pytest.raises(ServingError, match=r"Specific\(scale, 2\)"):
        ask(manager, 2)


def test_no_request_fails_while_versions_come_and_go(scales, tmp_path):
    copy(scales, 1, tmp_path)
    manager = VersionManager([ModelConfig("scale", tmp_path)], ServerMetrics())
    manager.start()
    done = threading.Event()
    answers: list[set[float]] = [set(), set(), set()]

    def keep_asking(mine: set[float]) -> None:
        while not done.is_set():
            mine.add(ask(manager))

    clients = [threading.Thread(target=keep_asking, args=(mine,)) for mine in answers]
    failures: list[BaseException] = []
    threading.excepthook, before = (
        lambda failed: failures.append(failed.exc_value),
        (threading.excepthook),
    )
    try:
        for client in clients:
            client.start()
        copy(scales, 2, tmp_path)
        wait_for(lambda: all(20.0 in mine for mine in answers))
        shutil.rmtree(tmp_path / "2")
        copy(scales, 3, tmp_path)
        wait_for(lambda: all(30.0 in mine for mine in answers))
    finally:
        done.set()
        for client in clients:
            client.join()
        threading.excepthook = before
        manager.stop()
    assert failures == []
    assert all(mine == {10.0, 20.0, 30.0} for mine in answers)


def test_requests_in_flight_finish_on_the_old_version(scales, tmp_path):
    copy(scales, 1, tmp_path)
    manager = manager_of(tmp_path)
    with manager.lease("scale", None, None) as (number, old):
        copy(scales, 2, tmp_path)
        manager.poll(settle=False)
        assert ask(manager) == 20.0
        assert states(manager) == {1: "UNLOADING", 2: "AVAILABLE"}
        assert number == 1
        assert old.signature("").run({"x": np.float32([1.0])})["y"][0] == 10.0
    wait_for(lambda: states(manager)[1] == "END")
    with pytest.raises(ServingError, match="Session has been closed"):
        old.signature("").run({"x": np.float32([1.0])})


def test_a_version_comes_back_while_requests_still_run_on_its_first_life(scales, tmp_path):
    copy(scales, 1, tmp_path)
    manager = manager_of(tmp_path)
    with manager.lease("scale", None, None):
        copy(scales, 2, tmp_path)
        manager.poll(settle=False)
        shutil.rmtree(tmp_path / "2")
        manager.poll(settle=False)
        assert ask(manager) == 10.0
    assert ask(manager) == 10.0
    assert states(manager)[1] == "AVAILABLE"


def test_a_broken_version_leaves_the_old_one_and_is_tried_again_when_changed(
    scales, tmp_path, caplog
):
    copy(scales, 1, tmp_path)
    manager = manager_of(tmp_path)
    broken = tmp_path / "2"
    broken.mkdir()
    (broken / "saved_model.pb").write_bytes(b"not a model")
    with caplog.at_level(logging.WARNING, "serving"):
        for _ in range(3):
            manager.poll(settle=False)
    assert ask(manager) == 10.0
    assert len(caplog.records) == 1  # said once, not at every look
    assert "version 2 could not be loaded, version 1 goes on serving" in caplog.text
    failed = manager.known_versions("scale")[0]
    assert (failed.number, failed.state) == (2, "END")
    assert failed.error is not None
    assert str(broken) in failed.error.message
    shutil.rmtree(broken)
    copy(scales, 2, tmp_path)
    manager.poll(settle=False)
    assert ask(manager) == 20.0


@pytest.mark.parametrize("missing", ["saved_model.pb", "variables/variables.data-00000-of-00001"])
def test_a_half_copied_version_is_served_once_it_is_whole(scales, tmp_path, missing):
    copy(scales, 1, tmp_path)
    manager = manager_of(tmp_path)
    half = copy(scales, 2, tmp_path)
    whole = (half / missing).read_bytes()
    (half / missing).write_bytes(whole[: len(whole) // 2])
    for _ in range(3):
        manager.poll()
    assert ask(manager) == 10.0
    (half / missing).write_bytes(whole)
    manager.poll()
    assert ask(manager) == 10.0  # its files changed since the last look: it may still be copied
    manager.poll()
    assert ask(manager) == 20.0


def test_a_folder_without_a_model_is_told(scales, tmp_path):
    copy(scales, 1, tmp_path)
    (tmp_path / "2").mkdir()
    manager = manager_of(tmp_path)
    assert ask(manager) == 10.0
    error = manager.known_versions("scale")[0].error
    assert error is not None
    assert "holds no saved_model.pb" in error.message


def test_a_failing_warm_up_keeps_a_version_out(scales, tmp_path):
    copy(scales, 1, tmp_path)
    extra = copy(scales, 2, tmp_path) / "assets.extra"
    extra.mkdir()
    (extra / "tf_serving_warmup_requests").write_bytes(b"no records " * 10)
    manager = manager_of(tmp_path)
    assert ask(manager) == 10.0
    error = manager.known_versions("scale")[0].error
    assert error is not None
    assert "a warm-up request failed" in error.message


def test_recorded_warm_up_requests_are_replayed(scales, tmp_path):
    import tensorflow as tf
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    extra = copy(scales, 1, tmp_path) / "assets.extra"
    extra.mkdir()
    entry = PredictionLog()
    entry.predict_log.request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0]))
    with tf.io.TFRecordWriter(str(extra / "tf_serving_warmup_requests")) as writer:
        writer.write(entry.SerializeToString())
    assert ask(manager_of(tmp_path)) == 10.0


@pytest.mark.parametrize(
    ("policy", "served"),
    [
        (VersionPolicy(), {3}),
        (VersionPolicy(latest=2), {2, 3}),
        (VersionPolicy(latest=None), {1, 2, 3}),
        (VersionPolicy(latest=None, specific=frozenset({1, 3})), {1, 3}),
    ],
)
def test_policies(scales, tmp_path, policy, served):
    for version in (1, 2, 3):
        copy(scales, version, tmp_path)
    manager = manager_of(tmp_path, policy=policy)
    assert set(states(manager)) == served


def test_labels(scales, tmp_path):
    copy(scales, 1, tmp_path)
    copy(scales, 3, tmp_path)
    everything = VersionPolicy(latest=None)
    manager = manager_of(tmp_path, policy=everything, labels={"stable": 1, "gone": 2})
    assert ask(manager) == 30.0
    assert ask(manager, label="stable") == 10.0
    with pytest.raises(ServingError, match="Unrecognized servable version label: canary"):
        ask(manager, label="canary")
    with pytest.raises(ServingError, match=r"Specific\(scale, 2\)"):
        ask(manager, label="gone")


def test_names_of_version_folders(scales, tmp_path):
    copy(scales, 1, tmp_path, "00000012")
    for name in ("3-tmp", "-4", "tmp", "9" * 30, "\u0665"):
        copy(scales, 2, tmp_path, name)
    (tmp_path / "13").write_text("a file")
    manager = manager_of(tmp_path)
    assert states(manager) == {12: "AVAILABLE"}


def test_a_folder_that_goes_away_is_no_reason_to_stop(scales, tmp_path):
    base = tmp_path / "base"
    copy(scales, 1, base)
    manager = manager_of(base)
    base.rename(tmp_path / "away")
    manager.poll(settle=False)
    assert ask(manager) == 10.0


def test_an_emptied_folder_ends_the_model(scales, tmp_path):
    copy(scales, 1, tmp_path)
    manager = manager_of(tmp_path)
    shutil.rmtree(tmp_path / "1")
    manager.poll(settle=False)
    with pytest.raises(ServingError, match=r"Latest\(scale\)"):
        ask(manager)


def test_ended_versions_are_forgotten_in_the_end(scales, tmp_path):
    copy(scales, 1, tmp_path)
    manager = manager_of(tmp_path)
    for number in range(2, MAX_ENDED_VERSIONS + 5):
        (tmp_path / str(number)).mkdir()
    manager.poll(settle=False)
    for number in range(2, MAX_ENDED_VERSIONS + 5):
        (tmp_path / str(number)).rmdir()
    manager.poll(settle=False)
    assert len(states(manager)) == MAX_ENDED_VERSIONS + 1
    assert ask(manager) == 10.0


ONE = 'config {{ name: "{}" base_path: "{}" model_platform: "tensorflow" {} }}'
CONFIG = "model_config_list {{ " + ONE + " }}"


def test_a_changed_config_is_read_again(scales, tmp_path):
    base, config = tmp_path / "base", tmp_path / "models.config"
    copy(scales, 1, base)
    copy(scales, 2, base)
    config.write_text(CONFIG.format("scale", base, ""))
    manager = VersionManager(read(config), ServerMetrics(), config)
    manager.poll(settle=False)
    assert ask(manager) == 20.0
    specific = "model_version_policy { specific { versions: 1 } }"
    config.write_text(CONFIG.format("scale", base, specific))
    manager.poll(settle=False)
    assert ask(manager) == 10.0
    config.write_text("nonsense {")
    manager.poll(settle=False)
    assert ask(manager) == 10.0
    config.write_text(CONFIG.format("other", base, ""))
    manager.poll(settle=False)
    with pytest.raises(ServingError, match=r"Latest\(scale\)"):
        ask(manager)
    assert manager.known_versions("other")[0].state == "AVAILABLE"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "names no model"),
        ("nonsense {", "no model_config_list"),
        (CONFIG.format("", "/models", ""), "a model without a name"),
        (CONFIG.format("a", "models", ""), "must be an absolute path"),
        (CONFIG.format("a", "/models", "model_version_policy { specific {} }"), "names no version"),
        (CONFIG.format("a", "/m", "} " + ONE.format("a", "/n", "")[:-1]), "appears more than once"),
        (CONFIG.format("a", "/m", "").replace("tensorflow", "torch"), "platform 'torch'"),
    ],
)
def test_configs_that_cannot_be_used(tmp_path, text, words):
    path = tmp_path / "models.config"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words) as refused:
        read(path)
    assert str(path) in str(refused.value)
