import asyncio
import json

import pytest
from msgspec import Raw

from deepseek_messages.translation.faults import Fault, FaultKind
from deepseek_messages.upstreams.embedded.feed import Feed
from deepseek_messages.upstreams.embedded.forced import form_of
from deepseek_messages.upstreams.embedded.jobs import answer
from deepseek_messages.wire.chat import ChatRequest, Function, FunctionTool, UserMessage

pytestmark = pytest.mark.anyio

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = FunctionTool(Function(name="weather", parameters=Raw(json.dumps(SCHEMA).encode())))
FREE = ChatRequest(model="m", messages=[UserMessage("hi")])
FORCED = ChatRequest(model="m", messages=[UserMessage("hi")], tools=[TOOL], tool_choice="required")
USAGE = {"prompt_tokens": 5, "completion_tokens": 2}
GOOD = '{"name":"weather","arguments":{"city":"Paris"}}'


def delta(**fields):
    return {"id": "c", "model": "m", "choices": [{"index": 0, "delta": fields}]}


def finish(reason):
    return {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}


def usage():
    return {"id": "c", "choices": [], "usage": USAGE}


PROGRESS = {"choices": [], "prompt_progress": {"total": 5, "processed": 0}}


def text(value, reason="stop"):
    return [PROGRESS, *(delta(content=letter) for letter in value), finish(reason), usage()]


class Engine:
    """Gives one scripted answer for each call, and stops when it is told to."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.bodies = []
        self.stopped = 0

    def chat(self, body, on_chunk):
        self.bodies.append(json.loads(body))
        for item in self.answers.pop(0):
            if isinstance(item, Exception):
                raise item
            if on_chunk(item if isinstance(item, bytes) else json.dumps(item).encode()):
                self.stopped += 1
                return


async def run(engine, request=FREE):
    feed = Feed(asyncio.get_running_loop())
    answer(engine, request, form_of(request), feed)
    return await feed.take_all()


async def test_a_free_answer_passes_chunk_by_chunk():
    chunks = await run(Engine(text("Hey")))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Hey"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.prompt_tokens == 5


async def test_chunks_that_say_nothing_are_left_out():
    engine = Engine([PROGRESS, delta(role="assistant", content=None), delta(content="x"), usage()])
    assert len(await run(engine)) == 2


@pytest.mark.parametrize(
    ("item", "status"),
    [
        ({"error": {"code": 400, "message": "no", "n_prompt_tokens": 9, "n_ctx": 8}}, 400),
        ({"error": {"code": 500, "message": "no"}}, 502),
        (Fault(FaultKind.REFUSED, "no", status=400), 400),
    ],
)
async def test_an_error_of_the_engine_is_a_fault(item, status):
    with pytest.raises(Fault) as caught:
        await run(Engine([PROGRESS, item]))
    assert caught.value.status == status


async def test_rubbish_is_a_fault_and_shows_in_the_log():
    feed = Feed(asyncio.get_running_loop())
    with pytest.raises(ValueError, match="JSON"):
        answer(Engine([b"{rubbish"]), FREE, None, feed)
    with pytest.raises(Fault) as caught:
        await feed.take()
    assert caught.value.kind is FaultKind.GARBAGE


async def test_nobody_listening_stops_the_engine():
    engine = Engine(text("Hey"))
    feed = Feed(asyncio.get_running_loop())
    feed.cancel()
    answer(engine, FREE, None, feed)
    assert engine.stopped == 1


async def test_a_forced_call_is_one_call_with_valid_input():
    call, end, last = await run(Engine(text(GOOD)), FORCED)
    (tool_call,) = call.choices[0].delta.tool_calls
    assert tool_call.function.name == "weather"
    assert tool_call.function.arguments == '{"city":"Paris"}'
    assert tool_call.id.startswith("call_")
    assert end.choices[0].finish_reason == "tool_calls"
    assert last.usage.completion_tokens == 2


async def test_a_form_filled_in_thoughts_counts_too():
    engine = Engine([delta(reasoning_content=GOOD), finish("stop"), usage()])
    call, *_ = await run(engine, FORCED)
    assert call.choices[0].delta.tool_calls


async def test_an_input_that_breaks_its_schema_is_never_given_out():
    bad = text('{"name":"weather","arguments":{"city":1}}')
    engine = Engine(bad, text(GOOD))
    call, *_ = await run(engine, FORCED)
    assert call.choices[0].delta.tool_calls[0].function.arguments == '{"city":"Paris"}'
    assert len(engine.bodies) == 2


async def test_prose_shows_that_the_grammar_is_not_in_force_and_is_stopped_at_once():
    engine = Engine(text("The weather is fine."), text(GOOD))
    call, *_ = await run(engine, FORCED)
    assert call.choices[0].delta.tool_calls
    assert engine.stopped == 1


async def test_when_nothing_satisfies_the_schema_it_is_a_fault():
    bad = '{"name":"weather","arguments":{}}'
    engine = Engine(*[text(bad) for _ in range(4)])
    with pytest.raises(Fault, match="weather"):
        await run(engine, FORCED)


async def test_a_call_cut_by_the_limit_says_so():
    call, end, _ = await run(Engine(text(GOOD[:40], "length")), FORCED)
    assert call.choices[0].delta.tool_calls[0].function.arguments == '{"city":"P'
    assert end.choices[0].finish_reason == "length"
