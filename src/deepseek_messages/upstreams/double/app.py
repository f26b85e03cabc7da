"""The double as an ASGI application: DeepSeek's paths, statuses and forms of answers."""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from deepseek_messages.upstreams.double import errors
from deepseek_messages.upstreams.double.double import Double, Outcome, Seen
from deepseek_messages.upstreams.double.models import listing
from deepseek_messages.upstreams.double.play import CutHere, Player, Send
from deepseek_messages.upstreams.double.rules import Accepted, check_key, check_request
from deepseek_messages.upstreams.double.script import Status, Step

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

CHAT_PATHS = ("/chat/completions", "/v1/chat/completions", "/beta/chat/completions")
MODEL_PATHS = ("/models", "/v1/models")
METHODS = dict.fromkeys(CHAT_PATHS, "POST") | dict.fromkeys(MODEL_PATHS, "GET")


class _ClientGone(Exception):
    """The client closed the connection before its answer was whole."""


def app(double: Double) -> App:
    """An ASGI application that serves ``double``."""

    async def serve(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await _Exchange(double, scope, receive, send).run()

    return serve


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        kind = (await receive())["type"].removeprefix("lifespan.")
        await send({"type": f"lifespan.{kind}.complete"})
        if kind == "shutdown":
            return


class _Exchange:
    """One request and its answer."""

    def __init__(
        self, double: Double, scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        self.double = double
        self.receive = receive
        self.send = send
        self.seen = Seen(scope["method"], scope["path"], headers)

    async def run(self) -> None:
        """Read, judge, answer; record how it ended."""
        outcome: Outcome = "cut"
        try:
            self.seen.raw = await self._read()
            self.double.saw(self.seen)
            outcome = await self._answer()
        except _ClientGone:
            outcome = "client gone"
        finally:
            self.seen.outcome = outcome
            self.seen.ended.set()

    async def _read(self) -> bytes:
        body = bytearray()
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise _ClientGone
            body += message.get("body", b"")
            if not message.get("more_body"):
                return bytes(body)

    async def _answer(self) -> Outcome:
        try:
            self._admit()
            if self.seen.path in MODEL_PATHS:
                await self._models()
                return "whole"
            accepted = await asyncio.to_thread(self._judge)
        except errors.Refused as refused:
            self.seen.refused = refused
            await self._whole(refused.status, refused.body, refused.content_type)
            return "refused"
        return await self._play(accepted)

    def _admit(self) -> None:
        """What is judged before the body is: key, path, method, content type, in this order."""
        seen = self.seen
        seen.key = check_key(seen.headers.get("authorization"))
        if seen.path not in METHODS:
            raise errors.not_found()
        if seen.method != METHODS[seen.path]:
            raise errors.wrong_method()
        kind = seen.headers.get("content-type", "").partition(";")[0].strip().lower()
        if seen.method == "POST" and kind != errors.JSON_TYPE:
            raise errors.wrong_content_type()

    def _judge(self) -> Accepted:
        seen = self.seen
        try:
            body = json.loads(seen.raw)
        except (ValueError, RecursionError):
            body = None
        seen.body = body if isinstance(body, dict) else None
        beta = seen.path.startswith("/beta/")
        accepted = check_request(seen.raw, self.double.models, beta=beta)
        seen.prompt, seen.prompt_tokens = accepted.prompt, accepted.prompt_tokens
        seen.max_tokens, seen.thinking = accepted.max_tokens, accepted.thinking
        seen.cached_tokens = self.double.cache.hit(self._scope(accepted), accepted.prompt_ids)
        return accepted

    def _scope(self, accepted: Accepted) -> tuple[str, str]:
        return self.seen.key, accepted.body.get("user_id") or ""

    async def _models(self) -> None:
        names = listing(self.double.models, enlarged=self.double.enlarged_models)
        body = json.dumps(names, ensure_ascii=False, separators=(",", ":")).encode()
        await self._whole(200, body, errors.JSON_TYPE)

    async def _whole(self, status: int, body: bytes, content_type: str | None) -> None:
        fields = {"content-length": str(len(body)), "x-ds-trace-id": uuid.uuid4().hex}
        if content_type is not None:
            fields["content-type"] = content_type
        await send_head(self.send, status, fields)
        await self.send({"type": "http.response.body", "body": body})

    # --- scripted answers -------------------------------------------------------------------------

    async def _play(self, accepted: Accepted) -> Outcome:
        """Play the answer while watching for the client's departure."""
        steps = self.double.answer(self.seen, accepted)
        outcome: list[Outcome] = []
        async with asyncio.TaskGroup() as group:
            playing = group.create_task(self._play_steps(accepted, steps, outcome))
            watching = group.create_task(self._watch(playing))
            await asyncio.wait([playing])
            watching.cancel()
        return outcome[0] if outcome else "client gone"

    async def _watch(self, playing: "asyncio.Task[None]") -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
        playing.cancel()

    async def _play_steps(
        self, accepted: Accepted, steps: list[Step], outcome: list[Outcome]
    ) -> None:
        player = Player(accepted, self.seen.cached_tokens, steps, self.send)
        player.usage_chunk = self.double.usage_chunk
        try:
            status = await player.play()
            if status is not None:
                await self._status(status)
            tokens = [*accepted.prompt_ids, *player.output_ids]
            self.double.cache.remember(self._scope(accepted), tokens)
            outcome.append("whole")
        except CutHere:
            outcome.append("cut")
        except Exception as problem:  # noqa: BLE001 - shown to the test, and the answer is cut
            self.seen.problem = problem
            outcome.append("script error")
            if not player.began:
                await self._whole(500, repr(problem).encode(), errors.TEXT)

    async def _status(self, status: Status) -> None:
        fields = {**status.headers, "content-length": str(len(status.body))}
        await send_head(self.send, status.status, fields)
        await self.send({"type": "http.response.body", "body": status.body})


async def send_head(send: Send, status: int, fields: dict[str, str]) -> None:
    """Send status and headers."""
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
