"""pydantic-ai."""

import asyncio

import anthropic
from lines import Order, drive
from pydantic import BaseModel
from pydantic_ai import Agent, PromptedOutput
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ThinkingPart
from pydantic_ai.models.anthropic import AnthropicModel, AnthropicModelSettings
from pydantic_ai.providers.anthropic import AnthropicProvider


class Person(BaseModel):
    name: str
    age: int


def run(coroutine):
    return asyncio.run(coroutine)


def agent(order: Order, **options) -> Agent:
    client = anthropic.AsyncAnthropic(
        base_url=f"{order.server}/anthropic", api_key=order.key, max_retries=0
    )
    provider = AnthropicProvider(anthropic_client=client)
    return Agent(AnthropicModel(order.model, provider=provider), **options)


def text(order):
    got = agent(order, system_prompt="Be brief.").run_sync("Say hello.")
    return {"text": got.output, "tokens": got.usage.input_tokens}


def stream(order):
    async def go():
        async with agent(order, system_prompt="Be brief.").run_stream("Say hello.") as got:
            pieces = [piece async for piece in got.stream_text(delta=True, debounce_by=None)]
            return {"pieces": pieces, "tokens": got.usage.input_tokens}

    return run(go())


def _with_weather(order):
    called = []
    made = agent(order)

    @made.tool_plain
    def get_weather(city: str) -> str:
        """The weather in a city."""
        called.append({"city": city})
        return "18 C"

    return made, called


def tools(order):
    made, called = _with_weather(order)
    got = made.run_sync("What is the weather in Hangzhou?")
    return {"called": called, "text": got.output}


def tools_stream(order):
    made, called = _with_weather(order)

    async def go():
        async with made.run_stream("What is the weather in Hangzhou?") as got:
            return await got.get_output()

    return {"text": run(go()), "called": called}


def structured(order):
    return agent(order, output_type=Person).run_sync("Who?").output.model_dump()


def structured_prompted(order):
    return agent(order, output_type=PromptedOutput(Person)).run_sync("Who?").output.model_dump()


def thinking(order):
    settings = AnthropicModelSettings(
        max_tokens=4000, anthropic_thinking={"type": "enabled", "budget_tokens": 2000}
    )
    made = agent(order, model_settings=settings)
    first = made.run_sync("Say hello.")
    parts = first.response.parts
    thoughts = [part.content for part in parts if isinstance(part, ThinkingPart)]
    second = made.run_sync("And again.", message_history=first.all_messages())
    return {"thoughts": thoughts, "texts": [first.output, second.output]}


def error(order):
    try:
        agent(order).run_sync("Say hello.")
    except ModelHTTPError as failure:
        return {"status": failure.status_code, "said": str(failure)}
    return {}


def stream_error(order):
    pieces = []

    async def go():
        async with agent(order).run_stream("Say hello.") as got:
            async for piece in got.stream_text(delta=True, debounce_by=None):
                pieces.append(piece)  # noqa: PERF401 - kept when it fails

    try:
        run(go())
    except Exception as failure:  # noqa: BLE001 - its kind is the answer
        return {"text": "".join(pieces), "said": str(failure)}
    return {"text": "".join(pieces)}


drive(
    text,
    stream,
    tools,
    tools_stream,
    structured,
    structured_prompted,
    thinking,
    error,
    stream_error,
)
