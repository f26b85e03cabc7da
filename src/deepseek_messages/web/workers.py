"""Several processes behind one listening socket: each has an event loop and a core of its own.

The parent serves nothing. It waits until all workers listen, hands signals on, and ends when they
have ended. A worker that dies is replaced; the others go on. One that dies before it served at all,
or one death after the other, is no accident: then all end, after their answers, and whoever
watches the server starts it anew.
"""

import contextlib
import os
import select
import signal
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Self

from deepseek_messages.telemetry.logs import log

STOPS = (signal.SIGINT, signal.SIGTERM)

# Handed on as it is: the workers read their settings again.
RELOAD = getattr(signal, "SIGHUP", None)

# systemd gives up after five starts, too (``StartLimitBurst``), though within ten seconds: a
# worker takes about one to start.
MOST_DEATHS = 5
WITHIN = 60.0

_PID = struct.Struct("i")

# What a worker does: it is given its number, and what to call once it serves.
Work = Callable[[int, Callable[[], None]], None]


class WorkersError(Exception):
    """The workers cannot serve; the message is for the person who started them."""


def run_workers(
    count: int,
    work: Work,
    on_ready: Callable[[], None],
    on_death: Callable[[int], None],
    on_stop: Callable[[], None],
) -> None:
    """Run ``work`` in so many processes until a signal ends them, each with a number below
    ``count``. ``on_ready`` is called here when all serve, ``on_death`` with the number of one that
    ended, however it did, before another gets that number, ``on_stop`` once none will be
    started any more: what the workers listen on is to be closed here, too. Call it in the main
    thread, with no other running. Raises ``WorkersError``.
    """
    if not hasattr(os, "fork"):
        raise WorkersError("server.workers: this system cannot fork; serve with one worker")
    with _Parent(count, work, on_ready, on_death, on_stop) as parent:
        for number in range(count):
            parent.start(number)
        parent.watch()


class _Parent:
    """Starts and watches the workers. Signals reach it as bytes in a pipe, so that none is lost
    and none interrupts anything.
    """

    def __init__(
        self,
        count: int,
        work: Work,
        on_ready: Callable[[], None],
        on_death: Callable[[int], None],
        on_stop: Callable[[], None],
    ) -> None:
        self._missing = count  # workers that were to serve at first and do not yet
        self._on_ready = on_ready
        self._on_death = on_death
        self._on_stop = on_stop
        self._work = work
        self._running: dict[int, int] = {}  # by process id: the worker's number
        self._serving: set[int] = set()
        self._deaths: deque[float] = deque(maxlen=MOST_DEATHS)
        self._stopping = False
        self._failed = False

    def __enter__(self) -> Self:
        self._signals = os.pipe()
        self._ready = os.pipe()
        self._lifeline = os.pipe()  # nothing is ever said on it: its end tells that we are gone
        os.set_blocking(self._signals[1], False)
        self._wakeup = signal.set_wakeup_fd(self._signals[1], warn_on_full_buffer=False)
        watched = (*STOPS, signal.SIGCHLD, *([RELOAD] if RELOAD else []))
        self._before = {each: signal.signal(each, lambda *_: None) for each in watched}
        return self

    def __exit__(self, *_: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)
        signal.set_wakeup_fd(self._wakeup)
        for end in (*self._signals, *self._ready, *self._lifeline):
            os.close(end)

    def start(self, number: int) -> None:
        """Start the worker of this number. Raises ``WorkersError``."""
        # Until it has let go of our pipe, what is sent to the worker would count as sent to us.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._before)
        try:
            pid = os.fork()
        except OSError as error:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            raise WorkersError(f"no process for a worker: {error.strerror}") from error
        if pid:
            self._running[pid] = number
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            return
        status = 1
        try:
            os.setpgid(0, 0)  # a terminal's Ctrl-C goes to the parent only, which hands it on
            signal.set_wakeup_fd(-1)
            for each in self._before:
                signal.signal(each, signal.SIG_IGN if each == RELOAD else signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            os.close(self._lifeline[1])
            threading.Thread(target=self._outlive_nobody, daemon=True).start()
            self._work(number, self._serves)
            status = 0
        finally:
            os._exit(status)

    def _serves(self) -> None:
        """In a worker: it accepts connections."""
        os.write(self._ready[1], _PID.pack(os.getpid()))

    def _outlive_nobody(self) -> None:
        """In a worker: stop it when the parent is gone, however it went."""
        os.read(self._lifeline[0], 1)
        os.kill(os.getpid(), signal.SIGTERM)

    def watch(self) -> None:
        """Return when all workers have ended. Raises ``WorkersError`` if they had to."""
        while self._running:
            spoke, _, _ = select.select([self._signals[0], self._ready[0]], [], [])
            if self._ready[0] in spoke:
                self._hear()
            if self._signals[0] in spoke:
                came = set(os.read(self._signals[0], 1024))
                self._reap()
                if RELOAD in came:
                    self._tell(RELOAD)
                if came.intersection(STOPS):
                    self._stop()
        if self._failed:
            raise WorkersError("worker processes ended; the log says why")

    def _hear(self) -> None:
        """Who serves now. What is written at once arrives whole: it is less than ``PIPE_BUF``."""
        for (pid,) in _PID.iter_unpack(os.read(self._ready[0], 256 * _PID.size)):
            self._serving.add(pid)
            if self._missing:
                self._missing -= 1
                if not self._missing and not self._stopping:
                    self._on_ready()

    def _reap(self) -> None:
        for pid in tuple(self._running):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if not ended:
                continue
            number = self._running.pop(pid)
            self._on_death(number)
            if not self._stopping:
                self._lost(pid, number, os.waitstatus_to_exitcode(status))

    def _lost(self, pid: int, number: int, code: int) -> None:
        """Replace a worker, unless that has no prospect. ``code`` is negative for a signal."""
        served = pid in self._serving
        self._serving.discard(pid)
        now = time.monotonic()
        often = len(self._deaths) == MOST_DEATHS and now - self._deaths[0] < WITHIN
        self._deaths.append(now)
        replaced = served and not often
        log().error("worker ended", pid=pid, code=code, replaced=replaced)
        try:
            if replaced:
                self.start(number)
                return
        except WorkersError as error:
            log().error("worker not replaced", why=str(error))
        self._failed = True
        self._stop()

    def _stop(self) -> None:
        """Ask every worker to stop; a second time, not to wait for what runs."""
        if not self._stopping:
            self._stopping = True
            self._on_stop()
        self._tell(signal.SIGTERM)

    def _tell(self, number: int) -> None:
        for pid in self._running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
