"""An end for a model that never answers.

It may loop for ever inside LiteRT, where no signal handler of Python's runs.  So it is the kernel
that ends the process, by what a signal does by default; its page
(:mod:`edge_client.fleet.use.usage`) then says that it was inside the model, as after any crash.
Somebody outside, the service say, could notice as well, but neither give the processor back nor
have the process started again.

It is the time of the processor that is limited, not that of a clock: a process that was stopped or
swapped out, or a device that slept, is no model that hangs.  A model, for its part, has nothing to
wait for: it runs on one thread and reads no file.
"""

from __future__ import annotations

import signal
import threading

# Whatever is installed has been loaded and has answered more than ten times within a minute of a
# clock (edge_client.fleet.update.trial).  One call has twice that, for the time of all threads of
# the process is counted together, and what is loaded first brings LiteRT itself along.
LONGEST_CALL_S = 120.0

# A process has one such timer.  Who comes while another thread is inside a model goes without.
_timer = threading.Lock()


class CallLimit:
    """Ends this process by SIGVTALRM when a call takes too much time of the processor.

    A program that handles or ignores that signal has a use of its own for it, and no limit.  Costs
    two system calls.  For one thread.
    """

    def __init__(self, longest_s: float) -> None:
        """Limits nothing yet.

        Args:
            longest_s: for a call, of all threads of the process together, outside the kernel.
        """
        self._longest_s = longest_s
        self._running = False

    def start(self) -> None:
        """A call begins."""
        if signal.getsignal(signal.SIGVTALRM) != signal.SIG_DFL:
            return
        self._running = self._running or _timer.acquire(blocking=False)
        if self._running:
            signal.setitimer(signal.ITIMER_VIRTUAL, self._longest_s)

    def stop(self) -> None:
        """It has come back; nothing happens when none had begun."""
        if self._running:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
            self._running = False
            _timer.release()
