"""An upstream that fails in every way, and clients that behave in every way, by seeded chance."""

import random
import socket
import struct
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

from bench.faults import END, HEAD, TEXT, Upstream, begin, chunk, request


class Moody(Upstream):
    """Answers well, slowly, in part, with garbage, with errors, or not at all once ``moody``."""

    def __init__(self) -> None:
        self.chance = random.Random(7)
        self.moody = False
        super().__init__(interval=0.002, words=30)

    def _stream(self, sock: socket.socket) -> bool:
        mood = self.chance.random() if self.moody else 0.0
        if mood < 0.6:
            return super()._stream(sock)
        if mood < 0.65:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif mood < 0.70:
            sock.sendall(HEAD + chunk(TEXT) * 3)
        elif mood < 0.75:
            sock.sendall(HEAD + chunk(TEXT) + chunk(b"data: nonsense\n\n"))
        elif mood < 0.80:
            sock.sendall(b"HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\n{}")
            return False
        elif mood < 0.85:
            sock.sendall(b"HTTP/1.1 429 No\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n")
            return False
        elif mood < 0.9:
            sock.sendall(HEAD + chunk(TEXT))
            sock.settimeout(3)
            with suppress(TimeoutError):
                sock.recv(1)
        elif mood < 0.95:
            sock.sendall(HEAD + chunk(TEXT * 2_000) + chunk(END) + chunk(b""))
            return False
        else:
            sock.sendall(HEAD[:40])
        sock.close()
        return True


@dataclass
class Load:
    """What clients do to the server at ``port`` until ``stop``: each asks ``rate`` times a second
    (0: as often as answers come). ``told`` counts how that ended.
    """

    port: int
    rate: float = 0.0
    stop: threading.Event = field(default_factory=threading.Event)
    told: Counter[str] = field(default_factory=Counter)

    def client(self, seed: int) -> None:
        """Ask in every way."""
        chance = random.Random(seed)
        while not self.stop.wait(chance.expovariate(self.rate) if self.rate else 0):
            what = chance.choice(WAYS)
            try:
                outcome = what(self.port, chance)
            except (OSError, RuntimeError) as error:
                outcome = type(error).__name__
            self.told[f"{what.__name__}: {outcome}"] += 1


def read(port: int, _: random.Random) -> str:
    with begin(port) as sock:
        return answer(sock)


def leave(port: int, chance: random.Random) -> str:
    with begin(port) as sock:
        sock.recv(chance.choice((1, 100, 1_000)))
        if chance.random() < 0.5:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return "left"


def leave_at_once(port: int, _: random.Random) -> str:
    begin(port).close()
    return "left"


def dawdle(port: int, chance: random.Random) -> str:
    with begin(port) as sock:
        sock.settimeout(2)
        for _ in range(chance.randrange(20)):
            with suppress(TimeoutError):
                if not sock.recv(64):
                    break
            time.sleep(0.01)
    return "left"


def half(port: int, chance: random.Random) -> str:
    whole = request()
    with socket.create_connection(("127.0.0.1", port), 30) as sock:
        sock.sendall(whole[: chance.randrange(len(whole))])
    return "left"


def stranger(port: int, _: random.Random) -> str:
    with begin(port, "dsm-wrong") as sock:
        return sock.recv(65_536)[9:12].decode()


def nonsense(port: int, chance: random.Random) -> str:
    with socket.create_connection(("127.0.0.1", port), 30) as sock:
        sock.sendall(chance.randbytes(200) + b"\r\n\r\n")
        return sock.recv(65_536)[9:12].decode() or "closed"


WAYS = (read, read, read, read, leave, leave, leave_at_once, dawdle, half, stranger, nonsense)


def answer(sock: socket.socket) -> str:
    data = b""
    while True:
        more = sock.recv(65_536)
        data += more
        if b"event: message_stop" in data:
            return "whole"
        if b"event: error" in data:
            return "error event"
        status = data[9:12].decode()
        if not more or (status not in ("", "200") and b"request_id" in data):
            return status or "closed"
