"""Several processes behind one listening socket: each has an event loop and a core of its own.

The parent serves nothing. It waits until all workers listen, hands signals on, and ends when they
have ended. A worker that ends unasked takes the others with it: whoever watches the server starts
it anew, and nobody meets half a server.
"""

import contextlib
import os
import select
import signal
import threading
from collections.abc import Callable
from typing import Self

STOPS = (signal.SIGINT, signal.SIGTERM)

Work = Callable[[Callable[[], None]], None]


class WorkersError(Exception):
    """The workers cannot serve; the message is for the person who started them."""


def run_workers(count: int, work: Work, on_ready: Callable[[], None]) -> None:
    """Run ``work`` in so many processes until a signal ends them. ``work`` calls what it is given
    once it serves; ``on_ready`` is called here when all do. Call it in the main thread, with no
    other running. Raises ``WorkersError``.
    """
    if not hasattr(os, "fork"):
        raise WorkersError("server.workers: this system cannot fork; serve with one worker")
    with _Parent(count, on_ready) as parent:
        for _ in range(count):
            parent.start(work)
        parent.watch()


class _Parent:
    """Starts and watches the workers. Signals reach it as bytes in a pipe, so that none is lost
    and none interrupts anything.
    """

    def __init__(self, count: int, on_ready: Callable[[], None]) -> None:
        self._missing = count  # workers that do not serve yet
        self._on_ready = on_ready
        self._running: set[int] = set()
        self._stopping = False
        self._failed = False

    def __enter__(self) -> Self:
        self._signals = os.pipe()
        self._ready = os.pipe()
        self._lifeline = os.pipe()  # nothing is ever said on it: its end tells that we are gone
        os.set_blocking(self._signals[1], False)
        self._wakeup = signal.set_wakeup_fd(self._signals[1], warn_on_full_buffer=False)
        watched = (*STOPS, signal.SIGCHLD)
        self._before = {each: signal.signal(each, lambda *_: None) for each in watched}
        return self

    def __exit__(self, *_: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)
        signal.set_wakeup_fd(self._wakeup)
        for end in (*self._signals, *self._ready, *self._lifeline):
            os.close(end)

    def start(self, work: Work) -> None:
        """Start a worker."""
        pid = os.fork()
        if pid:
            self._running.add(pid)
            return
        status = 1
        try:
            os.setpgid(0, 0)  # a terminal's Ctrl-C goes to the parent only, which hands it on
            signal.set_wakeup_fd(-1)
            for each in self._before:
                signal.signal(each, signal.SIG_DFL)
            os.close(self._lifeline[1])
            threading.Thread(target=self._outlive_nobody, daemon=True).start()
            work(self._serves)
            status = 0
        finally:
            os._exit(status)

    def _serves(self) -> None:
        """In a worker: it accepts connections."""
        os.write(self._ready[1], b".")

    def _outlive_nobody(self) -> None:
        """In a worker: stop it when the parent is gone, however it went."""
        os.read(self._lifeline[0], 1)
        os.kill(os.getpid(), signal.SIGTERM)

    def watch(self) -> None:
        """Return when all workers have ended. Raises ``WorkersError`` if one did so unasked."""
        while self._running:
            spoke, _, _ = select.select([self._signals[0], self._ready[0]], [], [])
            if self._ready[0] in spoke:
                self._missing -= len(os.read(self._ready[0], 1024))
                if self._missing == 0 and not self._stopping:
                    self._on_ready()
            if self._signals[0] in spoke:
                came = set(os.read(self._signals[0], 1024))
                self._reap()
                if came.intersection(STOPS):
                    self._stop()
        if self._failed:
            raise WorkersError("a worker process ended; its log says why")

    def _reap(self) -> None:
        for pid in tuple(self._running):
            ended, _ = os.waitpid(pid, os.WNOHANG)
            if not ended:
                continue
            self._running.discard(pid)
            if not self._stopping:
                self._failed = True
                self._stop()

    def _stop(self) -> None:
        """Ask every worker to stop; a second time, not to wait for what runs."""
        self._stopping = True
        for pid in self._running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
