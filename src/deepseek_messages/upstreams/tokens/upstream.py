"""DeepSeek V4 and V4.1 on a server of one's own, given token ids instead of messages.

The prompt and the reading of the output are DeepSeek's own code (``prompt.tokens``), so it
depends on no chat template, tool parser or reasoning parser of the server's. Above it everything
is as with a chat server: chat requests come in, chat chunks go out.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from deepseek_messages.prompt.encoding import NotEncodable
from deepseek_messages.prompt.tokens import OutputReader, TokenPrompt, to_tokens
from deepseek_messages.translation import faults
from deepseek_messages.translation.answer.chat_json import decode_chunk
from deepseek_messages.translation.answer.sse import DONE, FrameParser
from deepseek_messages.translation.catalogue import MAX_OUTPUT, Encoding, Model, describe
from deepseek_messages.translation.dialects import TOKENS, Dialect
from deepseek_messages.translation.faults import Fault, FaultKind
from deepseek_messages.upstreams.base import ChatStream, UpstreamCall
from deepseek_messages.upstreams.chat.upstream import ChatHttpUpstream
from deepseek_messages.upstreams.http.client import HttpReply
from deepseek_messages.upstreams.http.faults import garbage_fault
from deepseek_messages.upstreams.tokens.servers import Ask, Piece, TokenServer
from deepseek_messages.wire.chat import (
    ChatChunk,
    ChatRequest,
    ChatUsage,
    ChunkChoice,
    CompletionTokensDetails,
)

_event = msgspec.json.Decoder(dict[str, Any]).decode


class TokensHttpUpstream(ChatHttpUpstream):
    """An ``Upstream`` that renders prompts itself. ``encoding`` is for models whose name does not
    tell theirs, ``window`` (in tokens) for servers that do not tell it; the rest is as for
    ``ChatHttpUpstream``.
    """

    def __init__(
        self,
        *,
        server: TokenServer,
        encoding: Encoding | None = None,
        window: int | None = None,
        **connection: Any,
    ) -> None:
        super().__init__(dialect=server.listing, **connection)
        self._server = server
        self._encoding = encoding
        self._window = window
        self._known: dict[str, Model] = {}

    @property
    def dialect(self) -> Dialect:
        """The encoder's: it takes what DeepSeek's API takes."""
        return TOKENS

    async def models(self) -> Sequence[Model]:
        """The listed models whose encoding is known. Raises ``Fault`` when there is none."""
        listed = [self._described(model) for model in await super().models()]
        self._known = {model.id: model for model in listed if model.encoding is not None}
        if listed and not self._known:
            names = ", ".join(model.id for model in listed[:5])
            raise Fault(
                FaultKind.GARBAGE,
                f"the prompt encoding of {names} is not known: set upstream.encoding",
                transient=False,
            )
        return list(self._known.values())

    async def open(self, call: UpstreamCall) -> ChatStream:  # type: ignore[override]
        """Render, send the ids, return when the server answered 200. Raises ``Fault``."""
        model = self._model(call.request.model)
        prompt = await self._render(call.request, model)
        ask = Ask(
            ids=prompt.ids,
            images=prompt.images,
            model=model.id,
            max_tokens=self._room(prompt, call.request, model),
            temperature=prompt.temperature,
            top_p=prompt.top_p,
            top_k=call.request.top_k,
            constraint=prompt.constraint,
        )
        reader = await asyncio.to_thread(OutputReader, prompt, model.id)
        address = self.origin.api if self._server.path.startswith("/v1/") else self.origin.root
        reply = await self._client.send(
            "POST",
            address(self._server.path),
            body=msgspec.json.encode(self._server.ask(ask)),
            credential=call.credential,
        )
        if reply.status == 200:
            return TokenStream(reply, self._server, reader, prompt)
        try:
            raise await self._status_fault(reply, call)
        finally:
            reply.close()

    def known_models(self) -> None:
        """A prompt is rendered by a thread: nothing can be asked here without waiting."""

    def send_now(self, call: UpstreamCall) -> None:
        """As ``known_models``."""

    async def count_tokens(self, call: UpstreamCall) -> int | None:
        """Exactly, by rendering; ``None`` for a request that cannot be rendered, or that has an
        image of unknown size.
        """
        try:
            prompt = await self._render(call.request, self._model(call.request.model))
        except Fault:
            return None
        return prompt.tokens if prompt.exact else None

    def _model(self, name: str) -> Model:
        return self._known.get(name) or self._described(describe(name))

    def _described(self, model: Model) -> Model:
        window = self._window or model.context_window
        encoding = self._encoding or model.encoding
        return replace(
            model,
            encoding=encoding,
            context_window=window,
            max_output_tokens=min(model.max_output_tokens, window, MAX_OUTPUT),
            thinks=True,
            sees=model.sees and self._server.images and encoding == "v4.1",
        )

    async def _render(self, chat: ChatRequest, model: Model) -> TokenPrompt:
        if model.encoding is None:
            raise faults.garbage(f"the prompt encoding of {model.id} is not known")
        try:
            return await asyncio.to_thread(to_tokens, chat, model.encoding)
        except (NotEncodable, UnicodeEncodeError) as refusal:
            raise _refused(str(refusal)) from refusal

    def _room(self, prompt: TokenPrompt, chat: ChatRequest, model: Model) -> int:
        """``max_tokens``; in the words of Anthropic's that clients know, when there is no room."""
        window, size = model.context_window, prompt.tokens
        asked = chat.max_tokens or chat.max_completion_tokens
        if size >= window:
            raise _refused(f"prompt is too long: {size} tokens > {window} maximum")
        if asked is not None and size + asked > window:
            raise _refused(
                f"input length and `max_tokens` exceed context limit: {size} + {asked} > {window}, "
                "decrease input length or `max_tokens` and try again"
            )
        try:
            return prompt.max_tokens(window)
        except NotEncodable as refusal:
            raise _refused(str(refusal)) from refusal


def _is_event(payload: bytes) -> bool:
    try:
        _event(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _refused(message: str) -> Fault:
    return Fault(FaultKind.REFUSED, message, status=400, upstream_status=400, transient=False)


class TokenStream:
    """A ``ChatStream`` over a completion's events."""

    def __init__(
        self, reply: HttpReply, server: TokenServer, reader: OutputReader, prompt: TokenPrompt
    ) -> None:
        self._reply = reply
        self._server = server
        self._reader = reader
        self._parser = FrameParser()
        self._ids = 0  # how much of the answer was read, where its events tell
        self._text = 0
        self._prompt = prompt
        self._last = Piece()  # the latest figures
        self._held: list[ChatChunk] = []  # the end, until the server's figures are there
        self._open = True
        self._heard = False  # tokens came, whether or not they say something yet
        self._broken: Fault | None = None  # raised once what came before it was read

    async def read(self) -> Sequence[ChatChunk]:
        """The chunks that came together; empty at the end. Raises ``Fault``."""
        try:
            return await self._next()
        except BaseException:
            await self.aclose()
            raise

    async def _next(self) -> list[ChatChunk]:
        chunks: list[ChatChunk] = []
        if self._broken is not None:
            raise self._broken
        while not chunks and self._open:
            data = await self._reply.read()
            chunks = self._take(data) if data else self._last_frame()
        return chunks

    async def aclose(self) -> None:
        """Drop the connection unless the answer is complete."""
        if self._open:
            self._open = False
            self._reader.close()
            self._reply.close()

    def _take(self, data: bytes) -> list[ChatChunk]:
        chunks: list[ChatChunk] = []
        self._heard = False
        for payload in self._parser.feed(data):
            if payload.strip() == DONE:
                return chunks + self._end()
            try:
                chunks += self._read(payload) if payload.strip() else []
            except Fault as fault:
                if not chunks:
                    raise
                self._broken = fault
                break
        if self._heard:
            self._reply.begun()
        return chunks

    def _read(self, payload: bytes) -> list[ChatChunk]:
        try:
            piece = self._server.read(_event(payload))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise garbage_fault(self._reply.origin, "something that is no completion") from error
        if piece.error:
            raise faults.reported(msgspec.json.encode(piece.error))
        if piece.completion_tokens is not None:
            self._last = piece
        try:
            return self._written(piece)
        except (RuntimeError, OverflowError) as error:
            raise garbage_fault(self._reply.origin, "tokens that cannot be read") from error

    def _written(self, piece: Piece) -> list[ChatChunk]:
        ids, text = piece.ids, piece.text
        if piece.grows:
            ids, text = ids[self._ids :], text[self._text :]
            self._ids, self._text = max(self._ids, len(piece.ids)), max(self._text, len(piece.text))
        self._heard = self._heard or bool(ids or text)
        if not piece.ids or self._lost(piece):
            said = self._reader.text(text)
        else:
            said = self._reader.tokens(ids) if ids else []
        chunks = [decode_chunk(each) for each in said]
        if piece.broken is not None:  # it is told above, in the words of the chat route
            chunks.append(ChatChunk(choices=[ChunkChoice(finish_reason=piece.broken)]))
        if piece.finish is not None:
            self._held += [decode_chunk(each) for each in self._reader.end(piece.finish)]
        return chunks

    def _lost(self, piece: Piece) -> bool:
        """Whether ids are missing between this piece and the one before: its text has it all."""
        if not piece.loses_ids or piece.completion_tokens is None:
            return False
        before, self._ids = self._ids, piece.completion_tokens
        return self._ids - before > len(piece.ids)

    def _last_frame(self) -> list[ChatChunk]:
        """The body ended, perhaps without the empty line after its last event. What was cut in
        the middle is dropped; the answer's missing end tells.
        """
        chunks: list[ChatChunk] = []
        for payload in self._parser.end():
            if _is_event(payload):
                chunks += self._read(payload)
        return chunks + self._end()

    def _end(self) -> list[ChatChunk]:
        """The answer ended. Without a finish reason it was cut, and its reader sees that."""
        self._open = False
        self._reader.close()
        if not self._held:
            self._reply.close()
            return []
        self._reply.settle()
        return [self._with_figures(chunk) for chunk in self._held]

    def _with_figures(self, chunk: ChatChunk) -> ChatChunk:
        """The server's own count of the output and of cached tokens; the prompt is ours, unless
        it has an image that only the server saw.
        """
        usage = chunk.usage
        if usage is None:
            return chunk
        told = None if self._prompt.exact else self._last.prompt_tokens
        prompt = self._prompt.tokens if told is None else told
        cached = min(self._last.cached_tokens or 0, prompt)
        written = self._last.completion_tokens
        details: CompletionTokensDetails | None = usage.completion_tokens_details
        figures = ChatUsage(
            prompt_tokens=prompt,
            completion_tokens=usage.completion_tokens if written is None else written,
            prompt_cache_hit_tokens=cached,
            prompt_cache_miss_tokens=prompt - cached,
            completion_tokens_details=details,
        )
        return ChatChunk(
            choices=chunk.choices, usage=figures, model=chunk.model, id=chunk.id, error=chunk.error
        )
