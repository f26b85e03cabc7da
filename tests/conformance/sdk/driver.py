"""Uses the official Python SDK as a user would; run by the interpreter of any SDK version.

Reads one JSON order per line (``scenario``, ``base_url``, ``key``, ``model``), writes one JSON
answer per line. What an answer says is compared by ``test_sdk.py``; nothing is judged here.
"""

import json
import sys
import traceback

import anthropic

TOOL = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}

# A small model that rolls dice can ramble to the token limit inside a forced call.
LIKELIEST = {"temperature": 0}
HELLO = [{"role": "user", "content": "Say hello."}]


def blocks(message):
    """The content of a message as plain JSON, for replaying and comparing."""
    return [block.model_dump(exclude_none=True) for block in message.content]


def facts(message):
    usage = message.usage
    return {
        "model": message.model,
        "role": message.role,
        "stop_reason": message.stop_reason,
        "stop_sequence": message.stop_sequence,
        "content": blocks(message),
        "input_tokens": usage.input_tokens,
        "cache_read_input_tokens": usage.cache_read_input_tokens,
        "cache_creation_input_tokens": usage.cache_creation_input_tokens,
        "output_tokens": usage.output_tokens,
    }


def create(client, model):
    message = client.messages.create(model=model, max_tokens=64, messages=HELLO)
    return {**facts(message), "request_id": message._request_id}


def stream(client, model):
    with client.messages.stream(model=model, max_tokens=64, messages=HELLO) as events:
        names = [event.type for event in events]
        final = events.get_final_message()
    return {**facts(final), "events": names}


def text_stream(client, model):
    with client.messages.stream(model=model, max_tokens=64, messages=HELLO) as events:
        return {"text": "".join(events.text_stream)}


def tool_round_trip(client, model):
    question = [{"role": "user", "content": "What is the weather in Hangzhou?"}]
    options = {"model": model, "max_tokens": 200, "tools": [TOOL]}
    first = client.messages.create(messages=question, **options)
    calls = [block for block in first.content if block.type == "tool_use"]
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "18 C"} for call in calls]
    history = [
        *question,
        {"role": "assistant", "content": blocks(first)},
        {"role": "user", "content": results},
    ]
    second = client.messages.create(messages=history, **options)
    return {"first": facts(first), "second": facts(second)}


def tool_stream(client, model):
    question = [{"role": "user", "content": "What is the weather in Hangzhou?"}]
    with client.messages.stream(
        model=model, max_tokens=200, tools=[TOOL], messages=question
    ) as events:
        final = events.get_final_message()
    return facts(final)


def forced_tool(client, model):
    message = client.messages.create(
        model=model,
        max_tokens=200,
        tools=[TOOL, {**TOOL, "name": "get_time"}],
        tool_choice={"type": "tool", "name": "get_weather"},
        messages=HELLO,
        extra_body=LIKELIEST,
    )
    return facts(message)


def any_tool(client, model):
    message = client.messages.create(
        model=model,
        max_tokens=200,
        tools=[TOOL],
        tool_choice={"type": "any"},
        messages=HELLO,
        extra_body=LIKELIEST,
    )
    return facts(message)


def thinking(client, model):
    options = {
        "model": model,
        "max_tokens": 1100,  # a small model may ramble to the end of it
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    with client.messages.stream(messages=HELLO, **options) as events:
        first = events.get_final_message()
    history = [
        *HELLO,
        {"role": "assistant", "content": blocks(first)},
        {"role": "user", "content": "And again."},
    ]
    second = client.messages.create(messages=history, **options)
    return {"first": facts(first), "second": facts(second)}


def count_tokens(client, model):
    count = client.messages.count_tokens(model=model, messages=HELLO, tools=[TOOL])
    return {"input_tokens": count.input_tokens}


def models(client, model):
    listed = [entry.id for entry in client.models.list(limit=1)]
    one = client.models.retrieve(model)
    return {"ids": listed, "id": one.id, "display_name": one.display_name, "type": one.type}


def error(client, model):
    try:
        client.with_options(max_retries=0).messages.create(
            model=model, max_tokens=64, messages=HELLO
        )
    except anthropic.APIStatusError as failure:
        body = failure.body if isinstance(failure.body, dict) else {}
        detail = body.get("error", {})
        return {
            "class": type(failure).__name__,
            "status": failure.status_code,
            "type": detail.get("type"),
            "message": detail.get("message"),
            "request_id": failure.request_id,
        }
    return {"class": None}


def stream_error(client, model):
    text = ""
    try:
        with client.messages.stream(model=model, max_tokens=64, messages=HELLO) as events:
            for piece in events.text_stream:
                text += piece
    except anthropic.APIError as failure:
        body = failure.body if isinstance(failure.body, dict) else {}
        return {"text": text, "type": body.get("error", {}).get("type")}
    return {"text": text, "type": None}


def retry(client, model):
    message = client.messages.create(model=model, max_tokens=64, messages=HELLO)
    return facts(message)


def cancel(client, model):
    with client.messages.stream(model=model, max_tokens=64, messages=HELLO) as events:
        for event in events:
            if event.type == "content_block_delta":
                return {"saw": event.type}
    return {"saw": None}


SCENARIOS = {
    scenario.__name__: scenario
    for scenario in (
        create,
        stream,
        text_stream,
        tool_round_trip,
        tool_stream,
        forced_tool,
        any_tool,
        thinking,
        count_tokens,
        models,
        error,
        stream_error,
        retry,
        cancel,
    )
}


def main():
    for line in sys.stdin:
        order = json.loads(line)
        client = anthropic.Anthropic(
            base_url=order["base_url"], api_key=order["key"], timeout=300, max_retries=2
        )
        try:
            answer = SCENARIOS[order["scenario"]](client, order["model"])
        except Exception:  # noqa: BLE001 - told to the test, which fails on it
            answer = {"crashed": traceback.format_exc()}
        finally:
            client.close()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
