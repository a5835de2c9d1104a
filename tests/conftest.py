"""What all tests share: a quiet TensorFlow without a GPU, and the folder of real data."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Read once, when TensorFlow is first imported, so set before any test module is collected:
# Keras 2 for tfmot and TFX; no GPU, as figures and tests are stated for the CPU.
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

# Whoever a shell starts in the background, or `nohup` at all, ignores such a signal, and hands that
# on to the programs it starts, some of which the tests end by it.
for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, usual)

# How long an example takes is for benchmarks to say.
settings.register_profile("ml4iot", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ml4iot")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data: `ML4IOT_DATA`, or `../shared/data` beside the checkout."""
    named = os.environ.get("ML4IOT_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is not a folder (name one in ML4IOT_DATA)")
    return folder


@pytest.fixture(scope="session")
def mosquitto() -> str:
    """The path of Mosquitto; where tests must not be skipped, its absence is a failure."""
    # On a device there is no operator's side to start one with (`make test-pi`).
    broker = pytest.importorskip("serving.broker", reason="the operator's side is not here")
    found = broker.find_mosquitto()
    if found is None:
        reason = "no mosquitto on PATH or in /usr/sbin"
        if os.environ.get("CI") or os.environ.get("ML4IOT_REQUIRE_MOSQUITTO"):
            pytest.fail(f"{reason}, and nothing may be skipped here")
        pytest.skip(reason)
    return found
