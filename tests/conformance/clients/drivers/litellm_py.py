"""LiteLLM as a client: OpenAI's shapes in the program, Anthropic's on the wire."""

import json
import logging

import litellm
from lines import Order, drive
from pydantic import BaseModel

litellm.suppress_debug_info = True
logging.disable(logging.CRITICAL)

HELLO = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say hello."}]
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


class Person(BaseModel):
    name: str
    age: int


def ask(order: Order, messages, **options):
    return litellm.completion(
        model=f"anthropic/{order.model}",
        api_base=f"{order.server}/anthropic",
        api_key=order.key,
        messages=messages,
        num_retries=0,
        max_retries=0,
        **options,
    )


def text(order):
    got = ask(order, HELLO)
    return {"text": got.choices[0].message.content, "tokens": got.usage.prompt_tokens}


def stream(order):
    chunks = list(ask(order, HELLO, stream=True, stream_options={"include_usage": True}))
    pieces = [
        c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content
    ]
    (tokens,) = [c.usage.prompt_tokens for c in chunks if getattr(c, "usage", None)]
    return {"pieces": pieces, "tokens": tokens}


def _loop(order, **options):
    history = [{"role": "user", "content": "What is the weather in Hangzhou?"}]
    called = []
    while True:
        got = ask(order, history, tools=[TOOL], **options)
        if options:
            got = litellm.stream_chunk_builder(list(got), messages=history)
        message = got.choices[0].message
        history.append(message.model_dump())
        if not message.tool_calls:
            return {"called": called, "text": message.content}
        for call in message.tool_calls:
            called.append(json.loads(call.function.arguments))
            history.append({"role": "tool", "tool_call_id": call.id, "content": "18 C"})


def tools(order):
    return _loop(order)


def tools_stream(order):
    return _loop(order, stream=True)


def structured(order):
    got = ask(order, [{"role": "user", "content": "Who?"}], response_format=Person)
    return json.loads(got.choices[0].message.content)


def thinking(order):
    options = {"thinking": {"type": "enabled", "budget_tokens": 2000}, "max_tokens": 4000}
    # LiteLLM knows no model deepseek-chat at Anthropic, so it has to be told what that takes.
    options["allowed_openai_params"] = ["thinking"]
    first = ask(order, HELLO, **options).choices[0].message
    history = [*HELLO, first.model_dump(), {"role": "user", "content": "And again."}]
    second = ask(order, history, **options).choices[0].message
    return {"thoughts": [first.reasoning_content], "texts": [first.content, second.content]}


def error(order):
    try:
        ask(order, HELLO)
    except Exception as failure:  # noqa: BLE001 - its kind is the answer
        return {"status": failure.status_code, "said": str(failure)}
    return {}


def stream_error(order):
    pieces = []
    try:
        for chunk in ask(order, HELLO, stream=True):
            pieces.append(chunk.choices[0].delta.content or "")  # noqa: PERF401 - kept
    except Exception as failure:  # noqa: BLE001 - its kind is the answer
        return {"text": "".join(pieces), "said": str(failure)}
    return {"text": "".join(pieces)}


drive(text, stream, tools, tools_stream, structured, thinking, error, stream_error)
