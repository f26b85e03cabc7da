"""A small, cheap conformance run against a real chat server: read-only, a few hundred tokens.

``make live UPSTREAM=URL [KEY=...] [MODEL=...]``, or

    python -m tests.live.checks URL [--key KEY] [--model MODEL]

starts this server in front of ``URL`` (``deepseek``: DeepSeek's API), asks it what each check
needs, and prints a table. The key may also stand in ``DEEPSEEK_MESSAGES_LIVE_KEY``.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deepseek_messages.settings import AuthSettings, LogSettings, Secret, Settings, UpstreamSettings
from deepseek_messages.upstreams.double import Double
from deepseek_messages.web.app import create_app
from tests.conformance.rig import Reply, Rig, request
from tests.support.servers import serve_app

DEEPSEEK = "https://api.deepseek.com"
MOST_TOKENS = 3_000  # of prompts and answers together, in a run where every check goes its longest

TOOL = {
    "name": "get_weather",
    "description": "The weather in a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


@dataclass
class Live:
    """The server under test; it adds up what the answers used."""

    rig: Rig
    model: str = "deepseek-chat"
    used: dict[str, int] = field(default_factory=lambda: {"in": 0, "out": 0})

    def ask(self, said: str = "Say hello.", **fields: Any) -> Reply:
        base = {"model": self.model, "max_tokens": 16, "temperature": 0}
        messages = [{"role": "user", "content": said}]
        reply = self.rig.call(
            "POST", "/v1/messages", request(**{**base, "messages": messages, **fields})
        )
        assert reply.status == 200, f"{reply.status} {reply.raw[:300]!r}"
        usage = reply.events[-2]["usage"] if fields.get("stream") else reply.body["usage"]
        self.used["in"] += usage["input_tokens"] + usage["cache_read_input_tokens"]
        self.used["out"] += usage["output_tokens"]
        return reply


def models(live: Live) -> str:
    """The list of models is there."""
    listed = live.rig.call("GET", "/v1/models").body["data"]
    assert listed, "no models"
    return ", ".join(entry["id"] for entry in listed[:4])


def answer(live: Live) -> str:
    """A whole answer, with usage."""
    reply = live.ask()
    assert reply.body["content"], "nothing was said"
    assert reply.body["usage"]["output_tokens"] > 0, "no tokens were counted"
    return repr(reply.text[:40])


def stream(live: Live) -> str:
    """A stream with lawful events."""
    events = live.ask(stream=True).events
    kinds = [event["type"] for event in events]
    assert kinds[-1] == "message_stop", kinds[-1]
    return f"{len(events)} events"


def count(live: Live) -> str:
    """The count of tokens is what the answer's usage says (or is said to be an estimate)."""
    body = request(model=live.model, max_tokens=...)
    counted = live.rig.call("POST", "/v1/messages/count_tokens", body)
    assert counted.status == 200, counted.raw[:300]
    usage = live.ask("Hello").body["usage"]
    told = usage["input_tokens"] + usage["cache_read_input_tokens"]
    if any(note.startswith("estimated=") for note in counted.notes):
        return f"estimated {counted.body['input_tokens']}, used {told}"
    assert counted.body["input_tokens"] == told, (counted.body, usage)
    return f"{told} tokens"


def stop_sequence(live: Live) -> str:
    """A stop sequence ends the answer and is named."""
    body = live.ask("Repeat exactly: one two three", stop_sequences=["e"]).body
    assert body["stop_reason"] in {"stop_sequence", "max_tokens"}, body["stop_reason"]
    return str(body["stop_reason"])


def forced_tool(live: Live) -> str:
    """A tool that must be called is called, with input that fits."""
    choice = {"type": "tool", "name": "get_weather"}
    reply = live.ask("Weather in Oslo?", max_tokens=400, tools=[TOOL], tool_choice=choice)
    calls = [block for block in reply.body["content"] if block["type"] == "tool_use"]
    assert calls, reply.body["content"]
    assert isinstance(calls[0]["input"].get("city"), str), calls[0]
    return json.dumps(calls[0]["input"])


def tool_result(live: Live) -> str:
    """A conversation with a tool's result goes on."""
    call = {"type": "tool_use", "id": "t1", "name": "get_weather", "input": {"city": "Oslo"}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "18 C"}
    said = [
        {"role": "user", "content": "Weather in Oslo?"},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result]},
    ]
    reply = live.ask(messages=said, tools=[TOOL])
    assert reply.body["content"], "nothing was said"
    return repr(reply.text[:40])


def schema(live: Live) -> str:
    """Structured output fits its schema."""
    form = {"type": "json_schema", "schema": TOOL["input_schema"]}
    text = live.ask("Name a city.", max_tokens=100, output_config={"format": form}).text
    assert isinstance(json.loads(text)["city"], str), text
    return text[:40]


def thinking(live: Live) -> str:
    """Thinking is shown where the model can think."""
    options = {"type": "enabled", "budget_tokens": 1024}
    reply = live.ask(thinking=options, max_tokens=300, temperature=...)
    kinds = [block["type"] for block in reply.body["content"]]
    assert kinds, "nothing was said"
    return ", ".join(kinds)


def refusal(live: Live) -> str:
    """A bad request is refused in Anthropic's envelope, before anything is sent."""
    reply = live.rig.call("POST", "/v1/messages", request(max_tokens=-1))
    assert (reply.status, reply.body["error"]["type"]) == (400, "invalid_request_error")
    return reply.body["error"]["message"][:40]


CHECKS: tuple[Callable[[Live], str], ...] = (
    models,
    answer,
    stream,
    count,
    stop_sequence,
    forced_tool,
    tool_result,
    schema,
    thinking,
    refusal,
)


@dataclass(frozen=True)
class Result:
    """How one check went."""

    name: str
    ok: bool
    detail: str
    ms: int


def run(url: str, key: str | None, model: str | None) -> tuple[list[Result], dict[str, int]]:
    """The results of all checks, and the tokens they used (``in`` and ``out``)."""
    upstream = UpstreamSettings(
        kind="chat", base_url=url, api_key=Secret(key) if key else None, model=model
    )
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            upstream=upstream,
            auth=AuthSettings(mode="open"),
            log=LogSettings(level="error"),
            state_dir=Path(folder),
            cache_dir=Path(folder),
        )
        with serve_app(create_app(settings)) as running:
            live = Live(Rig(Double(), running.url))
            results = [_check(check, live) for check in CHECKS]
    return results, live.used


def _check(check: Callable[[Live], str], live: Live) -> Result:
    begun = time.monotonic()
    try:
        detail, ok = check(live), True
    except Exception as problem:  # noqa: BLE001 - it is what the table is for
        detail, ok = f"{type(problem).__name__}: {problem}"[:300], False
    return Result(check.__name__, ok, detail, round((time.monotonic() - begun) * 1000))


def table(results: list[Result], used: dict[str, int]) -> str:
    """The results as a table for a terminal."""
    lines = [
        f"{'ok' if each.ok else 'FAILED':8}{each.name:16}{each.ms:>7} ms  {each.detail}"
        for each in results
    ]
    failed = sum(not each.ok for each in results)
    lines.append(f"{len(results) - failed} of {len(results)} checks passed; ")
    lines[-1] += f"tokens used: {used['in']} in, {used['out']} out"
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Run the checks; the exit code is 1 when one failed."""
    parser = argparse.ArgumentParser(prog="make live", description=__doc__)
    parser.add_argument("url", help="the chat server's base URL, or deepseek")
    parser.add_argument("--key", default=os.environ.get("DEEPSEEK_MESSAGES_LIVE_KEY"))
    parser.add_argument("--model")
    given = parser.parse_args(arguments)
    url = DEEPSEEK if given.url == "deepseek" else given.url
    print(f"{len(CHECKS)} checks of {url}; they use a few hundred tokens, {MOST_TOKENS} at most.")
    with redirect_stdout(sys.stderr):
        results, used = run(url, given.key or None, given.model or None)
    print(table(results, used))
    return 0 if all(each.ok for each in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
