"""Decodes bodies without holding up the other requests."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from starlette.types import Receive

from serving.gateway.body import LONG_BODY_BYTES, unless_gone
from serving.gateway.errors import BusyError

MAX_WAITING = 16  # and yet another is told to come again
_RETRY_AFTER_S = 1.0

T = TypeVar("T")


class Decoder:
    """Short bodies are decoded at once; one thread takes the long ones in turn."""

    def __init__(self, timeout_s: float) -> None:
        """Imports what a clip of another rate or in FLAC needs: the first would wait for it."""
        importlib.import_module("scipy.signal")
        with contextlib.suppress(ImportError, OSError):  # not installed: FLAC is refused with that
            importlib.import_module("soundfile")
        self._timeout_s = timeout_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="decoder")
        self._waiting = 0

    async def __call__(self, work: Callable[[], T], size: int, receive: Receive) -> T:
        """What `work` gives, which decodes a body of `size` bytes.

        Raises:
            BusyError: too many long ones wait, or no turn in time.
            ClientGone: nobody wants it any more.
            Exception: whatever `work` does.
        """
        if size <= LONG_BODY_BYTES:
            return work()
        if self._waiting >= MAX_WAITING:
            raise BusyError("too many long requests are waiting", _RETRY_AFTER_S)
        self._waiting += 1
        try:
            turn = asyncio.get_running_loop().run_in_executor(self._thread, work)
            # What has not begun when the time is up, or the client gone, never begins.
            return await asyncio.wait_for(unless_gone(turn, receive), self._timeout_s)
        except asyncio.TimeoutError:
            raise BusyError("no turn in time; try again later", _RETRY_AFTER_S) from None
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Lets go of the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)
