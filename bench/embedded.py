"""The model in the process: through our server, and with the same engine driven directly.

``python -m bench.embedded MODEL`` is the direct side, in a process of its own: the engine with
the settings that the server gives it, and the same request, as blocking calls. It reads how many
answers to make at once, of how many tokens, and prints what they took.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import platformdirs

from bench import load, processes
from bench.bodies import http_request
from bench.figures import Figure
from deepseek_messages.store.models import DEFAULT, LocalModel, ModelStore
from deepseek_messages.translation.catalogue import Model, resolve
from deepseek_messages.translation.dialects import EMBEDDED
from deepseek_messages.translation.notes import Notes
from deepseek_messages.translation.request.parse import parse_request
from deepseek_messages.translation.request.request import to_chat
from deepseek_messages.translation.seal import Seal
from deepseek_messages.upstreams.embedded.body import plain_body
from deepseek_messages.upstreams.embedded.engine import Engine
from deepseek_messages.upstreams.embedded.load import Wishes
from deepseek_messages.upstreams.embedded.load import load as load_engine
from deepseek_messages.wire.chat import ChatChunk

CONTEXT, SLOTS = 2048, 4
TOKENS = {1: 64, SLOTS: 32}  # of each answer, by how many are made at once

# Short answers whose first token is timed, one after the other.
FIRSTS = 8

_decode = msgspec.json.Decoder(ChatChunk).decode


@dataclass
class Made:
    """Answers made at once: tokens of all, seconds until the last was whole, and each one's
    seconds to its first token.
    """

    tokens: int
    seconds: float
    firsts: list[float]


def body(tokens: int) -> bytes:
    """A request whose answer is always the same, and as long as it may be."""
    question = "Write a long story about a river that runs through many countries to the sea."
    return msgspec.json.encode(
        {
            "model": "deepseek-chat",
            "max_tokens": tokens,
            "temperature": 0,
            "messages": [{"role": "user", "content": question}],
            "stream": True,
        }
    )


def engine_body(tokens: int, model: Model) -> bytes:
    """What the server gives the engine for it."""
    request = parse_request(body(tokens))
    choice = resolve(request.model, [model], model.id)
    return plain_body(to_chat(request, choice, EMBEDDED, Notes(), Seal(b"bench".ljust(64))).chat)


# --- the direct side, in its process


def drive(path: Path) -> None:
    """Load the engine, then obey standard input until it ends."""
    wishes = Wishes(context=CONTEXT, slots=SLOTS, threads=0)
    loaded = load_engine(LocalModel(path), wishes, lambda *_: None)
    print("ready", flush=True)
    for line in sys.stdin:
        at_once, tokens = json.loads(line)
        wanted = engine_body(tokens, loaded.model)
        start = time.perf_counter()
        found: list[tuple[int, float]] = []

        def ask(wanted: bytes = wanted, found: list[tuple[int, float]] = found) -> None:
            found.append(one_answer(loaded.engine, wanted))

        threads = [threading.Thread(target=ask) for _ in range(at_once)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - start
        firsts = [first for _, first in found]
        print(json.dumps([sum(count for count, _ in found), seconds, firsts]), flush=True)
    loaded.engine.close()


def one_answer(engine: Engine, wanted: bytes) -> tuple[int, float]:
    """Tokens, and seconds to the first of them."""
    start, first, tokens = time.perf_counter(), 0.0, 0

    def on_chunk(raw: bytes) -> bool:
        nonlocal first, tokens
        chunk = _decode(raw)
        said = any(each.delta and each.delta.content for each in chunk.choices or ())
        if said and not first:
            first = time.perf_counter() - start
        if chunk.usage is not None:
            tokens = chunk.usage.completion_tokens or 0
        return False

    engine.chat(wanted, on_chunk)
    return tokens, first


# --- both sides


class Direct:
    """The direct side, seen from the benchmark."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._to, self._from = process.stdin, process.stdout
        self._from.readline()

    def make(self, at_once: int, tokens: int) -> Made:
        self._to.write(json.dumps([at_once, tokens]).encode() + b"\n")
        self._to.flush()
        return Made(*json.loads(self._from.readline()))


class Served:
    """The server."""

    def __init__(self, port: int) -> None:
        self._port = port

    def make(self, at_once: int, tokens: int) -> Made:
        request = http_request("/anthropic/v1/messages", body(tokens))
        start = time.perf_counter()
        outcome = load.run(self._port, request, connections=at_once, each=1, mark=b'"text_delta"')
        seconds = time.perf_counter() - start
        load.good("embedded", outcome)
        said = re.search(rb'"output_tokens": ?(\d+)', outcome.tail)
        assert said is not None, outcome.tail
        return Made(at_once * int(said[1]), seconds, outcome.first_event)


@contextmanager
def both(path: Path) -> Iterator[tuple[Direct, Served]]:
    """The direct side and the server, each with the model loaded."""
    settings = f"""
[upstream]
kind = "embedded"
[embedded]
model = {json.dumps(str(path))}
context = {CONTEXT}
slots = {SLOTS}
"""
    command = [sys.executable, "-m", "bench.embedded", str(path)]
    with ExitStack() as stack:
        direct = processes.running(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        port, _ = stack.enter_context(processes.server(settings))
        yield Direct(stack.enter_context(direct)), Served(port)


def added_ms(direct: Direct, served: Served) -> float:
    """Milliseconds that the server adds to the first token: medians of short answers, in turn."""
    plain, ours = [], []
    for _ in range(FIRSTS):
        plain.append(direct.make(1, 2).firsts[0])
        ours.append(served.make(1, 2).firsts[0])
    return 1e3 * (statistics.median(ours) - statistics.median(plain))


def share(direct: Direct, served: Served, at_once: int) -> float:
    """Percent of the engine's own tokens per second that come through the server."""
    plain, ours = direct.make(at_once, TOKENS[at_once]), served.make(at_once, TOKENS[at_once])
    if plain.tokens != ours.tokens:
        raise RuntimeError(f"{ours.tokens} tokens came through the server, {plain.tokens} directly")
    return 100 * plain.seconds / ours.seconds


def measure(rounds: int) -> list[Figure]:
    """Our server beside the engine. Raises ``ModelError`` when the model cannot be had."""
    store = ModelStore(platformdirs.user_cache_path("deepseek-messages"))
    path = store.resolve(DEFAULT).fetch(lambda *_: None)
    shares: dict[int, list[float]] = {1: [], SLOTS: []}
    added = []
    with both(path) as (direct, served):
        for at_once in shares:  # warm-up
            share(direct, served, at_once)
        for _ in range(rounds):
            for at_once, values in shares.items():
                values.append(share(direct, served, at_once))
            added.append(added_ms(direct, served))
    return [
        Figure("tokens/s of the engine driven directly", "%", shares[1], 97, at_least=True),
        Figure(f"the same, {SLOTS} answers at once", "%", shares[SLOTS], 97, at_least=True),
        Figure("added to the first token", "ms", added, 5),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.embedded", description=__doc__)
    parser.add_argument("model", type=Path)
    drive(parser.parse_args().model)
