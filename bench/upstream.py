"""A scripted chat-completions upstream that costs next to nothing.

``python -m bench.upstream --chunks 100 --interval-ms 5`` binds a free port on loopback, prints it,
and answers every POST: a whole answer of about 400 bytes, or, for ``"stream":true``, that many
text chunks, flooding (interval 0) or each in a packet of its own.
"""

import argparse
import asyncio
import json
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
MODELS = json.dumps(
    {
        "object": "list",
        "data": [{"id": "deepseek-flash", "object": "model", "owned_by": "deepseek"}],
    }
).encode()


def framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Upstream(asyncio.Protocol):
    def __init__(self, chunks: int, interval: float) -> None:
        self.chunks = chunks
        self.interval = interval
        self.parser = httptools.HttpRequestParser(self)
        self.body: list[bytes] = []
        self.flood = (
            STREAM_HEAD + framed(FIRST) + framed(MIDDLE) * chunks + framed(LAST) + b"0\r\n\r\n"
        )

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
            head = (
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
            )
            self.transport.write(head % len(MODELS) + MODELS)
        elif b'"stream":true' not in body.replace(b'": ', b'":'):
            self.transport.write(WHOLE_RESPONSE)
        elif self.interval:
            self.transport.write(STREAM_HEAD + framed(FIRST))
            self.step(self.chunks)
        else:
            self.transport.write(self.flood)

    def step(self, left: int) -> None:
        if self.transport.is_closing():
            return
        if left == 0:
            self.transport.write(framed(LAST) + b"0\r\n\r\n")
            return
        self.transport.write(framed(MIDDLE))
        asyncio.get_running_loop().call_later(self.interval, self.step, left - 1)


async def main(chunks: int, interval: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Upstream(chunks, interval), "127.0.0.1", 0, backlog=4096
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=100)
    parser.add_argument("--interval-ms", type=float, default=0.0)
    args = parser.parse_args()
    uvloop.run(main(args.chunks, args.interval_ms / 1000))
