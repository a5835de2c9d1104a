"""Bodies that come slowly or in crowds, and those that wait for the thread that decodes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable

import pytest

from serving.gateway import body as body_module
from serving.gateway.body import LONG_BODY_BYTES, BodyReader, ClientGone
from serving.gateway.decoder import MAX_WAITING, Decoder
from serving.gateway.errors import BusyError, SlowClientError

MAX_BYTES = 2 * LONG_BODY_BYTES
LONG = LONG_BODY_BYTES + 1


class Sender:
    """A client's side of an ASGI `receive`: these chunks, with a pause before each."""

    def __init__(self, chunks: Iterable[bytes], pause_s: float = 0.0, ends: bool = True) -> None:
        self._messages = [{"type": "http.request", "body": c, "more_body": True} for c in chunks]
        if ends:
            self._messages[-1]["more_body"] = False
        self._pause_s = pause_s

    async def __call__(self) -> dict[str, object]:
        await asyncio.sleep(self._pause_s)
        if not self._messages:
            await asyncio.Event().wait()
        return self._messages.pop(0)


async def silent() -> dict[str, object]:
    """A client that waits for its answer."""
    await asyncio.Event().wait()
    return {}


async def gone() -> dict[str, object]:
    return {"type": "http.disconnect"}


async def read(reader: BodyReader, sender: Sender) -> bytes:
    with reader.room() as room:
        return await reader.read({}, sender, room)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(body_module, "STALL_S", 0.3)


def test_a_body_that_drips_is_given_up_though_it_never_stops(impatient):
    sender = Sender([b" " * LONG_BODY_BYTES, *([b" "] * 1000)], pause_s=0.02)
    with pytest.raises(SlowClientError):
        asyncio.run(asyncio.wait_for(read(BodyReader(MAX_BYTES), sender), 10))


def test_a_body_that_keeps_the_pace_may_take_longer_than_a_stall(impatient):
    chunks = [b"x" * 8000] * 10
    sender = Sender(chunks, pause_s=0.06)
    assert asyncio.run(read(BodyReader(MAX_BYTES), sender)) == b"".join(chunks)


def test_bodies_that_do_not_end_leave_room_to_short_ones():
    async def crowd() -> None:
        reader = BodyReader(MAX_BYTES, at_once=4)
        stuck = [
            asyncio.create_task(read(reader, Sender([b" " * (MAX_BYTES - 1)], ends=False)))
            for _ in range(4)
        ]
        await asyncio.sleep(0.1)
        assert await read(reader, Sender([b"short"])) == b"short"
        with pytest.raises(BusyError):
            await read(reader, Sender([b" " * MAX_BYTES]))
        for each in stuck:
            each.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
        assert len(await read(reader, Sender([b" " * MAX_BYTES]))) == MAX_BYTES

    asyncio.run(crowd())


def test_long_bodies_wait_for_the_thread_no_longer_than_the_timeout():
    async def ask() -> None:
        decoder = Decoder(timeout_s=0.2)
        release = threading.Event()
        waiting = [
            asyncio.create_task(decoder(lambda: release.wait(10), LONG, silent))
            for _ in range(MAX_WAITING)
        ]
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match="too many long"):
            await decoder(lambda: release.wait(10), LONG, silent)
        assert await decoder(lambda: "short", LONG - 1, silent) == "short"
        outcomes = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 10)
        assert {type(each) for each in outcomes} == {BusyError}
        release.set()
        assert await decoder(lambda: "again", LONG, silent) == "again"
        decoder.close()

    asyncio.run(ask())


def test_who_hangs_up_leaves_the_turn_to_others():
    async def ask() -> None:
        decoder = Decoder(timeout_s=30)
        release, done = threading.Event(), []
        first = asyncio.create_task(decoder(lambda: release.wait(10), LONG, silent))
        await asyncio.sleep(0)
        with pytest.raises(ClientGone):
            await decoder(lambda: done.append("gone"), LONG, gone)
        release.set()
        await first
        await decoder(lambda: done.append("next"), LONG, silent)
        assert done == ["next"]
        decoder.close()

    asyncio.run(ask())


def test_errors_of_decoding_come_through():
    def fail() -> None:
        raise ValueError("no clip")

    with pytest.raises(ValueError, match="no clip"):
        asyncio.run(Decoder(1.0)(fail, LONG, silent))
