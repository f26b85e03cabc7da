"""KA: nobody may think that a slow answer is dead."""

import pytest

from deepseek_messages.wire.chat import (
    ChatChunk,
    ChatDelta,
    ChunkChoice,
    FunctionDelta,
    ToolCallDelta,
)
from tests.support.app import served
from tests.support.fake import FINISH, OPEN, FakeUpstream, finish
from tests.support.gates import Gate
from tests.support.raw import Wait
from tests.support.sse import assert_lawful

# As in life, only quicker.
FAST = {"ping_interval": 0.02, "commit_after": 0.02}


def call(index: int, arguments: str, name: str | None = None) -> ChatChunk:
    delta = ToolCallDelta(index, f"c{index}" if name else None, FunctionDelta(name, arguments))
    return ChatChunk(choices=[ChunkChoice(index=0, delta=ChatDelta(tool_calls=[delta]))])


@pytest.mark.row("events.ping")
@pytest.mark.row("events.message_start")
def test_ka_01_04_a_slow_first_token_gets_message_start_with_its_prompt_and_pings() -> None:
    gate = Gate()
    upstream = FakeUpstream([Wait(gate), OPEN, FINISH], tokens=7)
    with served(upstream, server=FAST) as s, s.client.stream() as stream:
        first, ping = stream.next(), stream.next()
        gate.set()
        assert_lawful([e for e in (first, ping) if e] + stream.rest())
    assert first is not None
    assert first["type"] == "message_start"
    assert first["message"]["usage"]["input_tokens"] > 0
    assert ping == {"type": "ping"}


def test_ka_03_pings_while_a_call_is_held_back() -> None:
    gate = Gate()
    script = [
        call(0, '{"a":', "one"),
        call(1, '{"b":1', "two"),
        Wait(gate),
        call(1, "}"),
        call(0, "1}"),
    ]
    with (
        served(FakeUpstream([*script, finish("tool_calls")]), server=FAST) as s,
        s.client.stream() as stream,
    ):
        seen = [stream.next() for _ in range(5)]
        gate.set()
        events = assert_lawful([e for e in seen if e] + stream.rest())
    assert "ping" in [e["type"] for e in seen[3:] if e]
    starts = [e["content_block"]["name"] for e in events if e["type"] == "content_block_start"]
    assert starts == ["one", "two"]
