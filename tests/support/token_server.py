"""Servers that take token ids, in the shapes in which vLLM, SGLang and llama.cpp speak.

    server = TokenServerFake("vllm", text="</think>Hello")
    with serve_app(server) as running: ... running.url ... server.asked[0] ...

Field names and orders are those of the servers' own code (``upstreams/tokens/servers.py``), of
vLLM and llama.cpp as the real ones send them (``conformance/upstreams/test_token_engines.py``).
"""

import codecs
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from deepseek_messages.prompt.tokenizer import TOKENIZER

END = 1  # <｜end▁of▁sentence｜>
IMAGE = 129264  # config.json of DeepSeek V4.1, ``image_token_id``


@dataclass
class TokenServerFake:
    """Answers every completion with ``text``, ``size`` tokens to an event."""

    kind: str
    text: str = "Hello"
    finish: str = "stop"  # or "length"
    size: int = 1
    ids: bool = True  # gives token ids; else text alone
    increments: bool = False  # SGLang with --incremental-streaming-output
    model: str = "DeepSeek-V4.1-Flash"
    window: int = 100_000
    cached: int | None = 3  # None: vLLM that was not told to say it
    sees: bool | None = None  # SGLang's ``has_image_understanding``; None: says nothing of it
    image_tokens: int = 100  # what each image takes, by this server's count
    error: Any = None  # sent in place of the end
    status: int = 200
    asked: list[dict[str, Any]] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        path = scope["path"]
        if path == "/v1/models":
            await reply(send, 200, json.dumps(self.listing()).encode())
        elif path == "/model_info" and self.sees is not None:
            await reply(send, 200, json.dumps({"has_image_understanding": self.sees}).encode())
        elif path == PATHS[self.kind] and self.status == 200:
            self.asked.append(json.loads(body))
            if self.placeholders() != len(self.images()):
                await reply(send, 400, b'{"error":{"message":"placeholders and images differ"}}')
                return
            await reply(send, 200, self.body(), b"text/event-stream")
        else:
            await reply(send, self.status if self.status != 200 else 404, b'{"error":"no"}')

    def prompt(self) -> list[int]:
        """The ids of the last prompt."""
        ids: list[int] = self.asked[-1].get("prompt") or self.asked[-1]["input_ids"]
        return ids

    def images(self) -> list[str]:
        """The images of the last prompt."""
        images: list[str] = self.asked[-1].get("image_data", [])
        return images

    def placeholders(self) -> int:
        return self.prompt().count(IMAGE)

    def body(self) -> bytes:
        """A whole answer."""
        frames = b"".join(b"data: " + json.dumps(e).encode() + b"\n\n" for e in self.events())
        return frames + (b"" if self.kind == "llama.cpp" else b"data: [DONE]\n\n")

    def listing(self) -> dict[str, Any]:
        entry: dict[str, Any] = {"id": self.model, "object": "model", "owned_by": self.kind}
        if self.kind == "llama.cpp":
            entry |= {"owned_by": "llamacpp", "meta": {"n_ctx": self.window}}
        else:
            entry["max_model_len"] = self.window
        return {"object": "list", "data": [entry]}

    def events(self) -> Iterator[dict[str, Any]]:
        prompt = len(self.prompt()) + len(self.images()) * (self.image_tokens - 1)
        ids = TOKENIZER.full.encode(self.text) + ([END] if self.finish == "stop" else [])
        parts = [ids[at : at + self.size] for at in range(0, len(ids), self.size)]
        yield from getattr(self, "_" + self.kind.replace(".", "_"))(parts, prompt)

    def _vllm(self, parts: list[list[int]], prompt: int) -> Iterator[dict[str, Any]]:
        head = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": self.model}
        for number, (part, text) in enumerate(zip(parts, texts(parts), strict=True)):
            last = number == len(parts) - 1
            choice: dict[str, Any] = {
                "index": 0,
                "text": text,
                "logprobs": None,
                "finish_reason": self.finish if last and self.error is None else None,
                "stop_reason": None,
            }
            if self.ids:
                choice["prompt_token_ids"] = None if number else self.prompt()
                choice["token_ids"] = part
            yield head | {"choices": [choice]}
        if self.error is not None:
            yield {"error": self.error}
            return
        usage: dict[str, Any] = {
            "prompt_tokens": prompt,
            "total_tokens": prompt + sum(map(len, parts)),
            "completion_tokens": sum(map(len, parts)),
        }
        if self.cached is not None:  # --enable-prompt-tokens-details
            usage["prompt_tokens_details"] = {"cached_tokens": self.cached}
        yield head | {"choices": [], "usage": usage, "system_fingerprint": "vllm-0.32.0"}

    def _sglang(self, parts: list[list[int]], prompt: int) -> Iterator[dict[str, Any]]:
        written: list[int] = []
        said = ""
        for number, (part, text) in enumerate(zip(parts, texts(parts), strict=True)):
            written += part
            said += text
            last = number == len(parts) - 1
            reason = {"type": self.finish, "matched": END} if last else None
            if last and self.error is not None:
                reason = {"type": "abort", **self.error}
            event: dict[str, Any] = {
                "text": text if self.increments else said,
                "meta_info": {
                    "id": "1",
                    "finish_reason": reason,
                    "prompt_tokens": prompt,
                    "completion_tokens": len(written),
                    "cached_tokens": self.cached,
                },
            }
            if self.ids:
                event["output_ids"] = part if self.increments else list(written)
            yield event

    def _llama_cpp(self, parts: list[list[int]], prompt: int) -> Iterator[dict[str, Any]]:
        written, held = 0, b""
        for part in parts:
            written += len(part)
            held += spelled(part)
            if (text := whole(held)) is None:  # neither the text nor the ids are ever sent alone
                continue
            held = b""
            yield {
                "index": 0,
                "content": text,
                "tokens": part if self.ids else [],
                "stop": False,
                "id_slot": -1,
                "tokens_predicted": written,
                "tokens_evaluated": prompt,
            }
        if self.error is not None:
            yield {"error": self.error}
            return
        end = {
            "index": 0,
            "content": "",
            "tokens": [],
            "id_slot": 0,
            "stop": True,
            "model": self.model,
            "tokens_predicted": written,
            "tokens_evaluated": prompt,
            "prompt": spelled(self.prompt()).decode("utf-8", "replace"),
            "stop_type": "eos" if self.finish == "stop" else "limit",
            "stopping_word": "",
            "timings": {"cache_n": self.cached},
        }
        wanted = self.asked[-1].get("response_fields")
        yield end if wanted is None else {name: end[name] for name in wanted}


PATHS = {"vllm": "/v1/completions", "sglang": "/generate", "llama.cpp": "/completion"}

_SPELLINGS: dict[int, bytes] = {}


def texts(parts: list[list[int]]) -> Iterator[str]:
    """What each part of the ids adds to the text. A character comes with its last token."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for part in parts:
        yield decoder.decode(spelled(part))


def whole(raw: bytes) -> str | None:
    """The text; ``None`` where it ends inside a character."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def spelled(ids: list[int]) -> bytes:
    """Text of token ids, special ones spelled out; the end of the answer is no text."""
    if not _SPELLINGS:
        _SPELLINGS.update(_vocabulary())
        special = TOKENIZER.special_ids.items()
        _SPELLINGS.update({number: text.encode() for text, number in special})
    return b"".join(b"" if each == END else _SPELLINGS[each] for each in ids)


def _vocabulary() -> dict[int, bytes]:
    from deepseek_messages.prompt.tokenizer import vocabulary_file

    model = json.loads(vocabulary_file().read_text(encoding="utf-8"))["model"]
    letters = _letters()
    return {
        number: bytes(letters[letter] for letter in text)
        for text, number in model["vocab"].items()
        if all(letter in letters for letter in text)
    }


def _letters() -> dict[str, int]:
    """The letters that stand for bytes in a vocabulary (GPT-2's ``bytes_to_unicode``)."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {chr(byte): byte for byte in shown} | {
        chr(256 + number): byte for number, byte in enumerate(hidden)
    }


async def reply(send: Any, status: int, body: bytes, kind: bytes = b"application/json") -> None:
    await send(
        {"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]}
    )
    await send({"type": "http.response.body", "body": body})
