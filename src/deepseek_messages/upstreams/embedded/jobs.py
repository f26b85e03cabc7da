"""What an engine thread does for one request."""

import secrets
from collections.abc import Callable
from typing import Protocol

import msgspec
from msgspec import UNSET, Raw, UnsetType

from deepseek_messages.translation.faults import Fault, FaultKind
from deepseek_messages.upstreams.embedded.body import held_body, plain_body
from deepseek_messages.upstreams.embedded.errors import EngineError, fault_of
from deepseek_messages.upstreams.embedded.feed import Feed
from deepseek_messages.upstreams.embedded.forced import Filled, Form, grammar, obeys, read
from deepseek_messages.upstreams.embedded.schema import Level
from deepseek_messages.wire.chat import (
    ChatChunk,
    ChatDelta,
    ChatRequest,
    ChatUsage,
    ChunkChoice,
    FunctionDelta,
    ToolCallDelta,
)


class Chats(Protocol):
    """The engine's part that is used here."""

    def chat(self, body: bytes, on_chunk: Callable[[bytes], bool]) -> None: ...


class EngineChunk(ChatChunk, frozen=True):
    """A chunk as the engine writes it; progress reports have no choices."""

    prompt_progress: Raw | UnsetType = UNSET


_decoder = msgspec.json.Decoder(EngineChunk)
_error_decoder = msgspec.json.Decoder(EngineError)


def answer(engine: Chats, request: ChatRequest, form: Form | None, feed: Feed) -> None:
    """Answer ``request`` into ``feed``, whatever happens."""
    try:
        if form is None:
            _listen(engine, plain_body(request), feed, feed.put)
        else:
            _answer_held(engine, request, form, feed)
    except Fault as fault:
        feed.fail(fault)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        feed.fail(Fault(FaultKind.GARBAGE, f"the engine answered out of form: {error}"))
        raise
    except Exception as error:
        feed.fail(fault_of(EngineError(message=type(error).__name__)))
        raise
    else:
        feed.end()


def _listen(
    engine: Chats, body: bytes, feed: Feed, use: Callable[[ChatChunk], bool | None]
) -> None:
    """Run the engine; ``use`` gets the chunks that say something and may return true to stop.
    Raises ``Fault`` for an error of the engine's.
    """
    failure: list[Exception] = []

    def on_chunk(raw: bytes) -> bool:
        try:
            chunk = _decoder.decode(raw)
            if not isinstance(chunk.error, UnsetType):
                raise fault_of(_error_decoder.decode(chunk.error))  # noqa: TRY301
            feed.accept()
            if _says_something(chunk) and use(chunk):
                return True
        except Exception as error:  # noqa: BLE001 - must not pass through the engine's C++
            failure.append(error)
            return True
        return feed.cancelled

    engine.chat(body, on_chunk)
    if failure:
        raise failure[0]


def _says_something(chunk: ChatChunk) -> bool:
    if chunk.usage is not None:
        return True
    return any(choice.finish_reason or _has_text(choice.delta) for choice in chunk.choices or ())


def _has_text(delta: ChatDelta | None) -> bool:
    return delta is not None and bool(delta.content or delta.reasoning_content or delta.tool_calls)


class _Text:
    """Collects the text of a held answer; stops the engine when the grammar is not in force."""

    def __init__(self) -> None:
        self.text = ""
        self.finish = ""
        self.usage: ChatUsage | None = None
        self.id: str | None = None
        self.model: str | None = None

    def add(self, chunk: ChatChunk) -> bool:
        self.id, self.model = chunk.id, chunk.model
        self.usage = chunk.usage or self.usage
        for choice in chunk.choices or ():
            if choice.delta is not None:
                self.text += (choice.delta.reasoning_content or "") + (choice.delta.content or "")
            self.finish = choice.finish_reason or self.finish
        return not obeys(self.text)


def _answer_held(engine: Chats, request: ChatRequest, form: Form, feed: Feed) -> None:
    """The answer is given out whole, once it is known to satisfy its schema. When it does not,
    the next level of grammar is tried, which also is a new sample.
    """
    for level in Level:
        text = _Text()
        _listen(engine, held_body(request, grammar(form, level)), feed, text.add)
        if feed.cancelled:
            return
        if not obeys(text.text):
            continue
        cut = text.finish == "length"
        filled = read(form, text.text, whole=not cut)
        if filled is not None or cut:
            _give(text, filled, feed)
            return
    raise Fault(
        FaultKind.GARBAGE,
        f"the model found no input that satisfies the schema of {' or '.join(form.options)}",
    )


def _give(text: _Text, filled: Filled | None, feed: Feed) -> None:
    finish = text.finish or "stop"
    if filled is not None:
        feed.put(_chunk(text, _delta(filled)))
        if filled.name is not None and finish == "stop":
            finish = "tool_calls"
    feed.put(_chunk(text, ChatDelta(), finish))
    feed.put(ChatChunk(choices=[], usage=text.usage, id=text.id, model=text.model))


def _delta(filled: Filled) -> ChatDelta:
    if filled.name is None:
        return ChatDelta(content=filled.text)
    call = ToolCallDelta(
        index=0,
        id=f"call_{secrets.token_hex(12)}",
        function=FunctionDelta(name=filled.name, arguments=filled.text),
    )
    return ChatDelta(tool_calls=[call])


def _chunk(text: _Text, delta: ChatDelta, finish: str | None = None) -> ChatChunk:
    choice = ChunkChoice(index=0, delta=delta, finish_reason=finish)
    return ChatChunk(choices=[choice], id=text.id, model=text.model)
