"""Requests that real clients sent: each is translated, and DeepSeek's own converter takes it."""

import json
import re
from pathlib import Path
from typing import Any

import deepseek_recipe as recipe
import msgspec
import pytest

from deepseek_messages.translation.catalogue import Choice
from deepseek_messages.translation.dialects import DEEPSEEK, DIALECTS
from deepseek_messages.translation.notes import LOSSY, Notes
from deepseek_messages.translation.plan import Translation
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.request.parse import parse_request
from deepseek_messages.translation.request.request import to_chat
from tests.property.conversations import chat_prompt
from tests.support.translating import SEAL, model

FOLDER = Path(__file__).parents[2] / "captures"


def _filled(value: Any) -> Any:
    """``<1234 chars>`` stands for a text of that length that was left out."""
    if isinstance(value, str):
        cut = re.fullmatch(r"<(\d+) chars>", value)
        return "x " * (int(cut[1]) // 2) if cut else value
    if isinstance(value, dict):
        return {key: _filled(item) for key, item in value.items()}
    return [_filled(item) for item in value] if isinstance(value, list) else value


CAPTURES = {
    f"{path.stem}-{number}": (request["target"], _filled(request["body"]))
    for path in sorted(FOLDER.glob("*.json"))
    for number, request in enumerate(json.loads(path.read_text())["requests"])
    if request["method"] == "POST"
}
THREADS = {name: capture for name, capture in CAPTURES.items() if "thread" in capture[1]}
SERVED = {name: capture for name, capture in CAPTURES.items() if name not in THREADS}


def translation(capture: Any, encoding: Any, dialect: Any = DEEPSEEK) -> tuple[Translation, Notes]:
    target, body = capture
    request = parse_request(msgspec.json.encode(body), counting="count_tokens" in target)
    notes = Notes()
    choice = Choice(model=model(encoding, id="m"), requested=request.model)
    return to_chat(request, choice, dialect, notes, SEAL), notes


def test_there_are_captures() -> None:
    assert len(SERVED) > 50
    assert THREADS


@pytest.mark.parametrize("encoding", ["v4", "v4.1"])
@pytest.mark.parametrize("capture", SERVED.values(), ids=SERVED.keys())
def test_sc01_deepseek_takes_what_real_clients_send(capture: Any, encoding: str) -> None:
    assert chat_prompt(translation(capture, encoding)[0], encoding)


@pytest.mark.parametrize("dialect", sorted(set(DIALECTS)))
@pytest.mark.parametrize("capture", SERVED.values(), ids=SERVED.keys())
def test_every_dialect_has_a_request_for_it(capture: Any, dialect: str) -> None:
    done, _ = translation(capture, None, DIALECTS[dialect])

    assert msgspec.json.encode(done.chat)


@pytest.mark.parametrize("capture", SERVED.values(), ids=SERVED.keys())
def test_claude_codes_tool_schemas_pass_byte_for_byte(capture: Any) -> None:
    _, notes = translation(capture, "v4.1")

    assert not [note for note in notes.entries if note.what == "tools.input_schema"]


@pytest.mark.parametrize("capture", SERVED.values(), ids=SERVED.keys())
def test_nothing_is_lost_but_pdfs_and_server_tools(capture: Any) -> None:
    _, notes = translation(capture, "v4.1")
    lost = {note.what for note in notes.entries if note.action in LOSSY}

    assert lost <= {"document", "tools.web_search_20250305"}


@pytest.mark.parametrize("capture", THREADS.values(), ids=THREADS.keys())
def test_thread_is_refused_so_that_the_sdk_goes_on_without(capture: Any) -> None:
    with pytest.raises(Refusal) as caught:
        translation(capture, "v4.1")
    assert caught.value.error_code == "thread_unsupported_request"


LOOP = "cc_tool_loop_full-0"


@pytest.mark.parametrize("encoding", ["v4", "v4.1"])
def test_pf02_a_long_session_keeps_its_prompt_as_a_prefix(encoding: Any) -> None:
    """Fifty turns grown from a real session, with Claude Code's habits: the cache marker moves,
    and older user messages turn from blocks into strings.
    """
    target, body = CAPTURES[LOOP]
    body = {**body, "messages": body["messages"][:2]}
    kept = total = 0
    before = ""
    for turn in range(50):
        prompt = chat_prompt(translation((target, body), encoding)[0], encoding)
        if before:
            kept += len(before) if prompt.startswith(before) else 0
            total += len(before)
        before = prompt.removesuffix("<think>").removesuffix("</think>")
        body = {**body, "messages": _grown(body["messages"], turn)}

    assert kept / total >= 0.99


def _grown(messages: list[Any], turn: int) -> list[Any]:
    asked = {"type": "text", "text": f"and {turn}?", "cache_control": {"type": "ephemeral"}}
    older = [_unmarked(message) for message in messages]
    return [
        *older,
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": f"hm {turn}", "signature": "s"},
                {"type": "tool_use", "id": f"t{turn}", "name": "Read", "input": {"n": turn}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": f"t{turn}", "content": f"r {turn}"},
                asked,
            ],
        },
        {"role": "system", "content": f"{1000 - turn} tokens left"},
    ]


def _unmarked(message: Any) -> Any:
    content = message["content"]
    if isinstance(content, str):
        return message
    blocks = [{k: v for k, v in block.items() if k != "cache_control"} for block in content]
    if message["role"] == "system":
        return {**message, "content": "\n\n".join(block["text"] for block in blocks)}
    return {**message, "content": blocks}


def test_recipe_is_the_strict_one() -> None:
    """The reference refuses what it must, so that its approval means something."""
    body = {"model": "m", "messages": [{"role": "tool", "tool_call_id": "1", "content": "x"}]}
    options = recipe.ConversionOptions().with_model_alias("m", recipe.ModelVersion.DeepseekV41Flash)
    with pytest.raises(recipe.ConversionError):
        recipe.ChatCompletionRequest(body).convert(options)
