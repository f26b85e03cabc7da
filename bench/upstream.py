"""A scripted chat-completions upstream that costs next to nothing.

``python -m bench.upstream --chunks 100 --interval-ms 5`` binds a free port on loopback, prints it,
and answers every POST: a whole answer of about 400 bytes, or, for ``"stream":true``, that many
text chunks, flooding (interval 0) or each in a packet of its own. ``script:CHUNKS:INTERVAL_MS;``
inside a request says it for this one (``bench.bodies.script``).
"""

import argparse
import asyncio
import functools
import json
import re
from typing import cast

import httptools
import uvloop

TEXT = " word"


def chunk(delta: dict[str, object], finish: str | None = None, **more: object) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    body = {
        "id": "b7a9",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "deepseek-flash",
        "choices": [choice],
        **more,
    }
    return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"


USAGE = {
    "prompt_tokens": 210,
    "completion_tokens": 100,
    "total_tokens": 310,
    "prompt_cache_hit_tokens": 128,
    "prompt_cache_miss_tokens": 82,
}
FIRST = chunk({"role": "assistant", "content": ""})
MIDDLE = chunk({"content": TEXT})
LAST = chunk({"content": "", "role": None}, "stop", usage=USAGE) + b"data: [DONE]\n\n"
WHOLE = json.dumps(
    {
        "id": "b7a9",
        "object": "chat.completion",
        "created": 1,
        "model": "deepseek-flash",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "x" * 120},
                "finish_reason": "stop",
            }
        ],
        "usage": USAGE,
    },
    separators=(",", ":"),
).encode()
JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
WHOLE_RESPONSE = JSON_HEAD % len(WHOLE) + WHOLE
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
SCRIPT = re.compile(rb"script:(\d+):([\d.]+);")


def models(name: str) -> bytes:
    """The answer that lists this one model."""
    found = {"object": "list", "data": [{"id": name, "object": "model", "owned_by": "deepseek"}]}
    body = json.dumps(found).encode()
    return JSON_HEAD % len(body) + body


STREAMS = re.compile(rb'"stream": ?true')


def framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@functools.cache
def flood(chunks: int) -> bytes:
    """A whole stream in one piece."""
    return STREAM_HEAD + framed(FIRST) + framed(MIDDLE) * chunks + framed(LAST) + b"0\r\n\r\n"


class Upstream(asyncio.Protocol):
    def __init__(self, chunks: int, interval: float, listed: bytes) -> None:
        self.chunks = chunks
        self.interval = interval
        self.listed = listed
        self.parser = httptools.HttpRequestParser(self)
        self.body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.body.append(body)

    def on_message_complete(self) -> None:
        body = b"".join(self.body)
        self.body.clear()
        if self.parser.get_method() == b"GET":
            self.transport.write(self.listed)
        elif not STREAMS.search(body):
            self.transport.write(WHOLE_RESPONSE)
        else:
            told = SCRIPT.search(body) if b"script:" in body else None
            if told:
                self.stream(int(told[1]), float(told[2]) / 1000)
            else:
                self.stream(self.chunks, self.interval)

    def stream(self, chunks: int, interval: float) -> None:
        if interval:
            self.transport.write(STREAM_HEAD + framed(FIRST))
            self.step(chunks, interval)
        else:
            self.transport.write(flood(chunks))

    def step(self, left: int, interval: float) -> None:
        if self.transport.is_closing():
            return
        if left == 0:
            self.transport.write(framed(LAST) + b"0\r\n\r\n")
            return
        self.transport.write(framed(MIDDLE))
        asyncio.get_running_loop().call_later(interval, self.step, left - 1, interval)


async def main(chunks: int, interval: float, model: str) -> None:
    loop = asyncio.get_running_loop()
    listed = models(model)
    server = await loop.create_server(
        lambda: Upstream(chunks, interval, listed), "127.0.0.1", 0, backlog=4096
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=100)
    parser.add_argument("--interval-ms", type=float, default=0.0)
    parser.add_argument("--model", default="deepseek-flash")
    args = parser.parse_args()
    uvloop.run(main(args.chunks, args.interval_ms / 1000, args.model))
