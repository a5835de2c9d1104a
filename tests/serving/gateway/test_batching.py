"""The queue's own arithmetic: when it refuses, and when those refused shall come again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from serving.gateway.admission import Question
from serving.gateway.batching import Batcher, Limits
from serving.gateway.errors import BusyError, TooSlowError
from serving.gateway.metrics import GatewayMetrics
from serving.gateway.tensorflow_serving import Answer

CALL_S = 0.1


class Model:
    """Answers after a while, and remembers what it was asked together."""

    def __init__(self) -> None:
        self.batches: list[tuple[str | None, list[bytes]]] = []
        self.call_s = CALL_S
        self.cancelled = 0

    async def __call__(self, kind: str | None, inputs: Sequence[bytes]) -> list[Answer]:
        self.batches.append((kind, list(inputs)))
        try:
            await asyncio.sleep(self.call_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return [Answer(each.decode(), (each.decode(),), (1.0,)) for each in inputs]


def batcher(model: Model, **changes: float) -> Batcher:
    limits = {"max_batch": 2, "in_flight": 1, "queue": 100, "timeout_s": 30.0, **changes}
    return Batcher(model, Limits(**limits), GatewayMetrics())  # type: ignore[arg-type]


def test_kinds_do_not_mix_and_the_oldest_goes_first():
    async def ask() -> list[Answer]:
        under_test = batcher(model)
        questions = [
            Question(b"a"), Question(b"b", "x"), Question(b"c"), Question(b"d", "y"),
            Question(b"e", "x"), Question(b"f"),
        ]  # fmt: skip
        return await asyncio.gather(*map(under_test.put, questions))

    model = Model()
    assert [each.label for each in asyncio.run(ask())] == list("abcdef")
    assert model.batches == [
        (None, [b"a", b"c"]),
        ("x", [b"b", b"e"]),
        ("y", [b"d"]),
        (None, [b"f"]),
    ]


def test_who_would_wait_too_long_is_refused_with_the_time_to_come_again():
    """Two answers in 0.1 s and at most half of 1 s in front: about ten are let in at a time."""

    async def ask() -> tuple[int, list[float]]:
        under_test = batcher(Model(), timeout_s=1.0)
        # The rate must be known first: it is measured while others wait.
        await asyncio.gather(*(under_test.put(Question(b"a")) for _ in range(8)))
        let_in, refused = [], []
        for _ in range(100):
            try:
                let_in.append(under_test.put(Question(b"a")))
            except BusyError as error:
                refused.append(error.after_s)
        await asyncio.gather(*let_in)
        return len(let_in), refused

    let_in, refused = asyncio.run(ask())
    assert 2 <= let_in < 20  # fewer where the machine is slow
    assert len(refused) == 100 - let_in
    assert all(after_s > 0.5 for after_s in refused)


def test_a_rate_once_found_low_does_not_lock_the_door():
    """What the next call takes is let in, or there would never be a queue to measure by again."""

    async def ask() -> None:
        model = Model()
        under_test = batcher(model, timeout_s=2.0)
        slowly = [under_test.put(Question(b"a")) for _ in range(4)]
        await slowly[0]
        model.call_s = 1.1  # of two questions: two more would need more than half of 2 s
        await asyncio.gather(*slowly)
        model.call_s = CALL_S
        futures = [under_test.put(Question(b"a"))]
        await asyncio.sleep(CALL_S / 10)
        futures += [under_test.put(Question(b"a")) for _ in range(2)]
        with pytest.raises(BusyError):
            under_test.check_room()
        await asyncio.gather(*futures)

    asyncio.run(ask())


def test_no_turn_in_time_is_429_where_others_were_answered_meanwhile():
    async def ask() -> list[Answer | BaseException]:
        model = Model()
        model.call_s = 0.4
        under_test = batcher(model, max_batch=1, timeout_s=1.0)
        futures = [under_test.put(Question(b"a")) for _ in range(4)]
        return await asyncio.gather(*futures, return_exceptions=True)

    first, *_, last = asyncio.run(ask())
    assert isinstance(first, Answer)
    assert isinstance(last, BusyError)


def test_the_time_runs_from_when_the_body_was_there():
    async def ask() -> None:
        model = Model()
        model.call_s = 30
        received = asyncio.get_running_loop().time() - 9.9
        with pytest.raises(TooSlowError):
            await asyncio.wait_for(batcher(model, timeout_s=10.0).put(Question(b"a"), received), 5)

    asyncio.run(ask())


def test_closing_ends_what_is_on_its_way_and_begins_nothing_new():
    async def ask() -> None:
        model = Model()
        model.call_s = 30
        under_test = batcher(model, max_batch=1)
        futures = [under_test.put(Question(b"a")) for _ in range(3)]
        await asyncio.sleep(CALL_S / 10)
        await asyncio.wait_for(under_test.close(), 5)
        await asyncio.sleep(CALL_S / 10)  # what begins when a call ends would begin now
        assert (len(model.batches), model.cancelled) == (1, 1)
        assert not any(each.done() for each in futures)

    asyncio.run(ask())
