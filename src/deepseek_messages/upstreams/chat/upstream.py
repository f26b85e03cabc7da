"""A chat server over HTTP: DeepSeek's API, vLLM, SGLang, llama.cpp, Ollama, and their like."""

import asyncio
import time
from collections.abc import Callable, Sequence

import msgspec
from yarl import URL

from deepseek_messages.translation.catalogue import Model
from deepseek_messages.translation.dialects import Dialect
from deepseek_messages.translation.faults import Fault, from_status
from deepseek_messages.translation.limits import (
    CONNECT_TIMEOUT,
    ERROR_BODY_TIMEOUT,
    FIRST_BYTE_TIMEOUT,
    IDLE_TIMEOUT,
    KEEPALIVE_EXPIRY,
    MAX_ERROR_BODY_BYTES,
    READINESS_TTL,
)
from deepseek_messages.upstreams.base import Readiness, UpstreamCall
from deepseek_messages.upstreams.chat.counting import count_prompt
from deepseek_messages.upstreams.chat.detect import detect, guess
from deepseek_messages.upstreams.chat.model_list import ModelList
from deepseek_messages.upstreams.chat.sent import HttpSentCall
from deepseek_messages.upstreams.chat.stream import HttpChatStream
from deepseek_messages.upstreams.http import faults as http_faults
from deepseek_messages.upstreams.http.client import Deadlines, HttpClient, HttpReply
from deepseek_messages.upstreams.http.origin import Origin
from deepseek_messages.upstreams.http.probe import Probe
from deepseek_messages.wire.chat import AssistantMessage, ChatRequest

_ENCODER = msgspec.json.Encoder()


class ChatHttpUpstream:
    """An ``Upstream`` that speaks chat completions over HTTP.

    ``base_url`` may be given with or without ``/v1``. ``dialect`` says what the server takes;
    with ``None`` it is found out by asking the server, at the first ``models`` or ``readiness``,
    and taken by its host name until then. ``api_key`` is sent to this origin only; a call's own
    ``credential`` goes instead of it. ``model`` is listed first, and alone when the server has
    no list; ``context_window``, in tokens, stands for what the server says of it. Times are in
    seconds. Raises ``ValueError``, in words for the person who wrote the settings, for an address,
    key or proxy that cannot be one.
    """

    def __init__(
        self,
        *,
        base_url: str,
        dialect: Dialect | None = None,
        api_key: str | None = None,
        model: str | None = None,
        context_window: int | None = None,
        name: str | None = None,
        proxy_from_env: bool = True,
        connect_timeout: float = CONNECT_TIMEOUT,
        first_byte_timeout: float = FIRST_BYTE_TIMEOUT,
        idle_timeout: float = IDLE_TIMEOUT,
        keepalive: float = KEEPALIVE_EXPIRY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.origin = Origin(base_url)
        self.name = name or self.origin.host
        self._asked = dialect
        self._dialect = dialect or guess(self.origin)
        self._settled = dialect is not None
        self._settling = asyncio.Lock()
        self._client = HttpClient(
            self.origin,
            api_key=api_key,
            deadlines=Deadlines(
                connect=connect_timeout, first_byte=first_byte_timeout, idle=idle_timeout
            ),
            proxy_from_env=proxy_from_env,
            keepalive=keepalive,
        )
        self._urls: dict[str, URL] = {}  # by path
        self._probe = Probe(self._client)
        self._models = ModelList(self._probe, preferred=model, window=context_window, clock=clock)
        self._clock = clock
        self._readiness = Readiness(ready=False, reason="not asked yet")
        self._readiness_until = float("-inf")

    @property
    def dialect(self) -> Dialect:
        """What the server takes and says."""
        return self._dialect

    async def open(self, call: UpstreamCall) -> HttpChatStream:
        """Send the request; return when the server answered 200. Raises ``Fault``."""
        body = _ENCODER.encode(call.request)
        reply = await self._client.send(
            "POST", self._chat_url(call.request), body=body, credential=call.credential
        )
        return await self._accepted(reply, call)

    async def _accepted(self, reply: HttpReply, call: UpstreamCall) -> HttpChatStream:
        if reply.status == 200:
            return HttpChatStream(reply)
        try:
            raise await self._status_fault(reply, call)
        finally:
            reply.close()

    def send_now(self, call: UpstreamCall) -> HttpSentCall | None:
        """Send the request on a connection that waits for one; ``None`` when there is none, or
        something else has to be waited for. Raises ``Fault``.
        """
        body = _ENCODER.encode(call.request)
        url = self._chat_url(call.request)
        reply = self._client.send_now("POST", url, body=body, credential=call.credential)
        if reply is None:
            return None
        return HttpSentCall(
            reply, lambda reply: self._accepted(reply, call), again=lambda: self.open(call)
        )

    def known_models(self) -> Sequence[Model] | None:
        """As ``models``, if that need not be asked for now."""
        return self._models.known() if self._settled else None

    async def models(self) -> Sequence[Model]:
        """The models the server lists, the configured one first. Cached. Raises ``Fault``."""
        await self._settle()
        return await self._models.get(self._dialect)

    async def count_tokens(self, call: UpstreamCall) -> int | None:
        """The prompt's size by the server's own tokenizer, or ``None`` when it cannot tell."""
        await self._settle()
        return await count_prompt(self._probe, self._dialect, call)

    async def readiness(self) -> Readiness:
        """Whether the server answers its model list now; asked again after a few seconds."""
        if self._clock() >= self._readiness_until:
            self._readiness = await self._ask_readiness()
            self._readiness_until = self._clock() + READINESS_TTL
        return self._readiness

    async def start(self) -> None:
        """Nothing runs in the background."""

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    def _chat_url(self, request: ChatRequest) -> URL:
        last = request.messages[-1] if request.messages else None
        prefix = isinstance(last, AssistantMessage) and last.prefix
        path = (self._dialect.prefix_path if prefix else None) or self._dialect.path
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = self.origin.api(path)
        return url

    async def _settle(self) -> None:
        """Find out, once, what server this is, if nobody said. A fault leaves the guess."""
        if self._settled:
            return
        async with self._settling:
            if not self._settled:
                self._dialect = await detect(self._probe, self.origin)
                self._settled = True

    async def _ask_readiness(self) -> Readiness:
        try:
            await self._settle()
            await self._models.refresh(self._dialect)
        except Fault as fault:
            return self._not_ready(fault)
        return Readiness(ready=True)

    def _not_ready(self, fault: Fault) -> Readiness:
        if fault.upstream_status not in {401, 403}:
            return Readiness(ready=False, reason=fault.message)
        if not self._client.has_key:  # callers bring their own
            return Readiness(ready=True, reason="reachable; it wants a key, which callers bring")
        said = f"{self.origin.label} refused the key (HTTP {fault.upstream_status})"
        return Readiness(ready=False, reason=said)

    async def _status_fault(self, reply: HttpReply, call: UpstreamCall) -> Fault:
        """The fault that an answer other than 200 stands for."""
        if 300 <= reply.status < 400:
            return http_faults.redirect_fault(reply.origin, reply.status)
        if reply.status < 400:
            return http_faults.garbage_fault(reply.origin, f"the status {reply.status}")
        return from_status(
            reply.status,
            reply.headers,
            self._client.without_key(await _error_body(reply), call.credential),
            own_credential=not call.credential,
            max_tokens=call.request.max_tokens or call.request.max_completion_tokens,
        )


async def _error_body(reply: HttpReply) -> bytes:
    """As much of an error's body as comes soon; the status alone says enough."""
    try:
        async with asyncio.timeout(ERROR_BODY_TIMEOUT):
            return (await reply.read_all(MAX_ERROR_BODY_BYTES))[:MAX_ERROR_BODY_BYTES]
    except (Fault, TimeoutError):
        return b""
