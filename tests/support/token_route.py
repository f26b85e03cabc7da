"""Answers in tokens for tests: what a model writes, and what becomes of it here.

    made = TokenAnswer("sglang", "v4.1", chat(), text="Hello")
    events = made.events(made.body_in_pieces(3), ReplyPlan(model="m"))

No socket and no event loop: the bytes of a server's answer go through the same reader as in the
server, and its chunks through the same state machine as those of a chat server.
"""

from collections.abc import Coroutine, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import msgspec

from deepseek_messages.prompt.encoding import render
from deepseek_messages.prompt.tokens import OutputReader, TokenPrompt, to_tokens
from deepseek_messages.translation.answer.reply import reply_stream
from deepseek_messages.translation.answer.runs import single_events
from deepseek_messages.translation.catalogue import Encoding
from deepseek_messages.translation.faults import Fault
from deepseek_messages.translation.plan import ReplyPlan
from deepseek_messages.upstreams.tokens.servers import TOKEN_SERVERS
from deepseek_messages.upstreams.tokens.upstream import TokenStream
from deepseek_messages.wire.chat import (
    AssistantMessage,
    ChatRequest,
    Function,
    FunctionTool,
    ThinkingSwitch,
    ToolMessage,
    UserMessage,
)
from deepseek_messages.wire.events import StreamEvent
from tests.support.answers import MESSAGE_ID, FakeSeal
from tests.support.token_server import TokenServerFake

MODELS: dict[Encoding, str] = {"v4": "DeepSeek-V4-Pro", "v4.1": "DeepSeek-V4.1-Flash"}
SERVERS = sorted(TOKEN_SERVERS)
CITY = msgspec.Raw(b'{"type":"object","properties":{"city":{"type":"string"}}}')
ON, OFF = ThinkingSwitch("enabled"), ThinkingSwitch("disabled")
END_OF_TURN = "<｜end▁of▁sentence｜>"


def chat(model: str = "DeepSeek-V4.1-Flash", **more: Any) -> ChatRequest:
    """A request without thinking, unless ``more`` says otherwise."""
    given = {"messages": [UserMessage("Hi")], "thinking": OFF, "stream": True} | more
    return ChatRequest(model=model, **given)


def tools(*names: str) -> list[FunctionTool] | None:
    return [FunctionTool(Function(name=name, parameters=CITY)) for name in names] or None


def written(request: ChatRequest, answer: AssistantMessage, encoding: Encoding) -> str:
    """What a model writes for ``answer``, by DeepSeek's own encoder: the prompt of the next turn
    less the prompt of this one.
    """
    before = render(request, encoding).prompt
    if answer.reasoning_content and not answer.tool_calls:  # the next prompt would leave it out
        return f"{answer.reasoning_content}</think>{answer.content}"
    results = [ToolMessage(tool_call_id=call.id, content="ok") for call in answer.tool_calls or ()]
    both = msgspec.structs.replace(request, messages=[*request.messages, answer, *results])
    after = render(both, encoding).prompt
    assert after.startswith(before)
    return after[len(before) :].partition(END_OF_TURN)[0]


@cache
def _prompt(request: bytes, encoding: Encoding) -> TokenPrompt:
    return to_tokens(msgspec.json.decode(request, type=ChatRequest), encoding)


class TokenAnswer:
    """One answer of one kind of server to ``request``; ``more`` is for its fake."""

    def __init__(
        self, kind: str, encoding: Encoding, request: ChatRequest, text: str, **more: Any
    ) -> None:
        self.server = TOKEN_SERVERS[kind]
        self.model = MODELS[encoding]
        self.prompt = _prompt(msgspec.json.encode(request), encoding)
        self.fake = TokenServerFake(kind, text, model=self.model, **more)
        self.fake.asked.append({"prompt": self.prompt.ids})
        self.body = self.fake.body()

    def events(
        self, pieces: Iterable[bytes], plan: ReplyPlan, prompt_tokens: int | None = None
    ) -> list[StreamEvent]:
        """The events for these pieces of the body; a fault ends them."""
        reader = OutputReader(self.prompt, self.model)
        self.reply = _Reply(pieces)
        stream = TokenStream(self.reply, self.server, reader, self.prompt)
        machine = reply_stream(plan, MESSAGE_ID, prompt_tokens=prompt_tokens, seal=FakeSeal())
        events: list[StreamEvent] = []
        try:
            while chunks := at_once(stream.read()):
                for chunk in chunks:
                    events += machine.feed(chunk)
            events += machine.finish()
        except Fault as fault:
            events += machine.fail(fault)
        finally:
            at_once(stream.aclose())
        return list(single_events(events))


def at_once(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits")


class _Reply:
    """An HTTP answer whose bytes are all there."""

    status = 200
    origin = "http://tokens.test"
    headers: Mapping[str, str] = {}

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces: Iterator[bytes] = iter([piece for piece in pieces if piece])
        self.contents = 0  # how often it was told that content had come

    async def read(self) -> bytes:
        return next(self._pieces, b"")

    def begun(self) -> None:
        self.contents += 1

    def close(self) -> None: ...

    def settle(self) -> None: ...
