"""``python -m bench.cache_rate``: how much of a coding session's prompt DeepSeek has cached.

A session of 50 requests is played as Claude Code plays one: the system prompt and the tools of a
real request, then turn after turn an answer (reasoning with its signature, a sentence, a call),
the call's result, a note of the harness as a system message, the cache breakpoint moved on to the
last message, and now and then a new question of the user. Each request is translated, and
DeepSeek's own encoder makes its prompt.

``unchanged`` is the part of the prompt before that is a prefix of the prompt now. ``hit`` is the
part of the prompt now that can be read from the cache: DeepSeek caches whole units of 64 tokens
(DeepSeek API docs, "Context Caching").
"""

import json
import os
from itertools import pairwise
from typing import Any

import msgspec
from msgspec import Struct

from deepseek_messages.prompt.encoding import render
from deepseek_messages.prompt.tokenizer import DeepSeekTokenizer
from deepseek_messages.translation.catalogue import Choice, Encoding, Model
from deepseek_messages.translation.dialects import DEEPSEEK
from deepseek_messages.translation.notes import Notes
from deepseek_messages.translation.request.parse import parse_request
from deepseek_messages.translation.request.request import to_chat
from deepseek_messages.translation.seal import Seal
from tests.support.captures import captures

TURNS = 50
CACHE_UNIT = 64
FIRST = "cc_all_tools-0"
_SEAL = Seal(b"cache rate")


class Turn(Struct, frozen=True):
    """Sizes in tokens; ``same`` of ``before`` tokens are still the beginning of ``now``."""

    before: int
    same: int
    now: int

    @property
    def hit(self) -> int:
        return self.same // CACHE_UNIT * CACHE_UNIT


def session(number: int = 0) -> list[dict[str, Any]]:
    """The bodies of the session's requests, in order. Sessions of another number say something
    else in each turn.
    """
    first = next(each.body for each in captures() if each.name == FIRST)
    question = f"Find out why test {number} fails."
    messages: list[dict[str, Any]] = [{"role": "user", "content": question}]
    bodies = []
    for turn in range(TURNS):
        bodies.append({**first, "stream": True, "messages": _with_breakpoint(messages)})
        messages = messages + _answered(turn, number)
    return bodies


def _with_breakpoint(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    last = messages[-1]
    blocks = last["content"]
    if isinstance(blocks, str):
        blocks = [{"type": "text", "text": blocks}]
    marked = {**blocks[-1], "cache_control": {"type": "ephemeral"}}
    return [*messages[:-1], {**last, "content": [*blocks[:-1], marked]}]


def _answered(turn: int, number: int) -> list[dict[str, Any]]:
    thought = f"Step {turn}: the next file may tell more, so I read it. " * 4 + str(number)
    call = {"command": f"sed -n {turn * 40},{turn * 40 + 40}p src/module_{turn}.py"}
    lines = range(25)
    output = "\n".join(
        f"{turn * 40 + n}: value_{n} = compute{number}(value_{n - 1})" for n in lines
    )
    answer: list[dict[str, Any]] = [
        {"type": "thinking", "thinking": thought, "signature": _SEAL.seal(thought)},
        {"type": "text", "text": f"I look at module {turn}."},
    ]
    if turn % 10 == 9:
        question = {"role": "user", "content": f"Thanks. Now explain part {turn // 10}."}
        return [{"role": "assistant", "content": answer}, question]
    name = f"toolu_{turn:024}"
    answer.append({"type": "tool_use", "id": name, "name": "Bash", "input": call})
    result = {"type": "tool_result", "tool_use_id": name, "content": output, "is_error": False}
    note = f"<total_tokens>{200_000 - 700 * turn} tokens left</total_tokens>"
    return [
        {"role": "assistant", "content": answer},
        {"role": "user", "content": [result]},
        {"role": "system", "content": note},
    ]


def prompt(body: dict[str, Any], encoding: Encoding) -> str:
    """DeepSeek's prompt for a body, up to where the answer's own first token decides."""
    request = parse_request(msgspec.json.encode(body))
    model = Model(
        id="m",
        display_name="m",
        context_window=1 << 20,
        max_output_tokens=1 << 18,
        encoding=encoding,
        thinks=True,
    )
    choice = Choice(model=model, requested=request.model)
    chat = to_chat(request, choice, DEEPSEEK, Notes(), _SEAL).chat
    rendered = render(chat, encoding).prompt
    return rendered.removesuffix("<think>").removesuffix("</think>")


def measure(encoding: Encoding) -> list[Turn]:
    """The session's turns from the second on."""
    count = DeepSeekTokenizer().count
    found = []
    prompts = [prompt(body, encoding) for body in session()]
    sizes = [count(each) for each in prompts]
    for (before, size), (now, total) in pairwise(zip(prompts, sizes, strict=True)):
        same = os.path.commonprefix([before, now])  # noqa: RUF071 - of texts, not of paths
        kept = size if same == before else count(same)
        found.append(Turn(before=size, same=kept, now=total))
    return found


def main() -> None:
    for encoding in ("v4", "v4.1"):
        turns = measure(encoding)
        before, same = sum(t.before for t in turns), sum(t.same for t in turns)
        hit, now = sum(t.hit for t in turns), sum(t.now for t in turns)
        figures = {
            "encoding": encoding,
            "requests": TURNS,
            "last_prompt_tokens": turns[-1].now,
            "unchanged_percent": round(100 * same / before, 3),
            "least_unchanged_percent": round(100 * min(t.same / t.before for t in turns), 3),
            "predicted_hit_percent": round(100 * hit / now, 3),
        }
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
