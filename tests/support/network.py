"""A network of its own for programs that must reach nothing but this machine's loopback.

with private_network() as network:
    listener = network.listen()          # a socket that only programs in there can reach
    process = network.start([...], ...)  # a program in there

Where the system does not allow it (it needs Linux and the right to make network namespaces), the
same calls use the machine's own loopback, and ``isolated`` is false.
"""

import ctypes
import fcntl
import queue
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

from tests.support.gates import WAIT_SECONDS

T = TypeVar("T")
Job = Callable[[], None]

CLONE_NEWNET = 0x40000000  # linux/sched.h
SIOCSIFFLAGS = 0x8914  # linux/sockios.h
IFF_UP = 1  # linux/if.h


class Network:
    """Where sockets are made and programs started: a thread that lives in the namespace. A
    namespace belongs to a thread, and what the thread makes or starts inherits it.
    """

    def __init__(self) -> None:
        self.isolated = False
        self._jobs: queue.Queue[Job | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name="private-network", daemon=True)

    def listen(self) -> socket.socket:
        """A listening socket at a free port of the loopback inside."""
        return self.call(lambda: socket.create_server(("127.0.0.1", 0)))

    def start(self, command: list[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a program inside; ``options`` as for ``subprocess.Popen``."""
        return self.call(lambda: subprocess.Popen(command, **options))

    def call(self, function: Callable[[], T]) -> T:
        """What ``function`` returns or raises, run inside."""
        answer: Future[T] = Future()

        def job() -> None:
            try:
                answer.set_result(function())
            except BaseException as error:  # noqa: BLE001 - raised where it was asked for
                answer.set_exception(error)

        self._jobs.put(job)
        return answer.result()

    def open(self) -> None:
        """Enter the namespace, if the system allows it."""
        self._thread.start()
        self.isolated = self.call(_enter)

    def close(self) -> None:
        """End the thread; the namespace ends with the last program in it."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


def _enter() -> bool:
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
    return True


@contextmanager
def private_network() -> Iterator[Network]:
    """A network that ends with the block."""
    network = Network()
    network.open()
    try:
        yield network
    finally:
        network.close()


def reaches(address: tuple[str, int]) -> bool:
    """Whether a connection to ``address`` can be made from this thread's network."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(WAIT_SECONDS)
        return probe.connect_ex(address) == 0
