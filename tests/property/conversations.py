"""Generated Messages requests, and the prompts that DeepSeek's own encoder makes of requests."""

from random import Random
from typing import Any

import deepseek_recipe as recipe
import msgspec

from deepseek_messages.translation.catalogue import Choice, Encoding, Model
from deepseek_messages.translation.dialects import DEEPSEEK, Dialect
from deepseek_messages.translation.notes import Notes
from deepseek_messages.translation.plan import Translation
from deepseek_messages.translation.request.parse import parse_request
from deepseek_messages.translation.request.request import to_chat
from deepseek_messages.translation.seal import Seal
from tests.support.generated import maybe, several, some, text

ENCODINGS: dict[str, tuple[Any, Any]] = {
    "v4": (recipe.ModelVersion.DeepseekV4Pro, recipe.DeepseekV4Encoding()),
    "v4.1": (recipe.ModelVersion.DeepseekV41Flash, recipe.DeepseekV41Encoding()),
}


def model(encoding: Encoding | None, **fields: Any) -> Model:
    given = {"thinks": True, "sees": encoding == "v4.1", **fields}
    return Model(
        id="m",
        display_name="m",
        context_window=1 << 20,
        max_output_tokens=393216,
        encoding=encoding,
        **given,
    )


def translate(
    body: dict[str, Any],
    encoding: Encoding | None = "v4.1",
    *,
    dialect: Dialect = DEEPSEEK,
    notes: Notes | None = None,
) -> Translation:
    request = parse_request(msgspec.json.encode(body), counting=True)
    choice = Choice(model=model(encoding), requested=request.model)
    return to_chat(request, choice, dialect, notes or Notes(), Seal(b"test key"))


def _render(request: Any, encoding: str) -> str:
    version, encoder = ENCODINGS[encoding]
    options = recipe.ConversionOptions().with_model_alias("m", version)
    converted = request.convert(options.with_default_thinking_mode(False))
    return str(encoder.render_conversation(converted.conversation).prompt)


def messages_prompt(body: dict[str, Any], encoding: str) -> str:
    """The prompt of DeepSeek's own Messages conversion. Raises its ``ConversionError``."""
    return _render(recipe.MessagesRequest(msgspec.json.encode(body)), encoding)


def chat_prompt(translation: Translation, encoding: str) -> str:
    """The prompt of our chat request. Raises ``ConversionError`` when DeepSeek refuses it."""
    body = msgspec.json.encode(translation.chat)
    return _render(recipe.ChatCompletionRequest(body), encoding)


# --- requests that DeepSeek's own conversion accepts ----------------------------------------------

ALPHABET = [*"ab {}<>\"'\\\n\té中😀"]
JSON_NUMBERS = [0, 1, -7, 2**53, -(2**53), 0.5, -1.25, 1e-7, 3.0]

NAMES = ["read", "write", "mcp__x__y"]
DEFERRED = ["later", "rare"]
SCHEMAS: list[dict[str, Any]] = [
    {"type": "object", "properties": {}},
    {"type": "object"},
    {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {"a": {"type": ["string", "null"], "description": "é"}, "b": {}},
        "required": ["a"],
        "additionalProperties": False,
    },
]
IMAGES: list[dict[str, Any]] = [
    {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
    },
    {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
]


def words(dice: Random) -> str:
    return text(dice, ALPHABET, 6)


def spoken(dice: Random) -> str:
    return dice.choice(ALPHABET) + words(dice)


def text_block(dice: Random) -> dict[str, Any]:
    return {"type": "text", "text": words(dice)}


def json_value(dice: Random, depth: int = 2) -> Any:
    match dice.randrange(6 if depth else 4):
        case 0:
            return dice.choice([None, True, False])
        case 1:
            return dice.choice(JSON_NUMBERS)
        case 2 | 3:
            return words(dice)
        case 4:
            return several(dice, lambda d: json_value(d, depth - 1), 0, 2)
        case _:
            keys = several(dice, words, 0, 2)
            return {key: json_value(dice, depth - 1) for key in keys}


def tool_input(dice: Random) -> dict[str, Any]:
    return {key: json_value(dice) for key in some(dice, ["a", "b", "path"])}


def tool_list(dice: Random, *, deferred: bool) -> list[dict[str, Any]]:
    tools: list[dict[str, Any]] = [
        {"name": name, "input_schema": dice.choice(SCHEMAS)} for name in some(dice, NAMES, 1)
    ]
    for tool in tools:
        if maybe(dice):
            tool["description"] = words(dice)
    if deferred:
        tools += [
            {
                "name": name,
                "description": "d",
                "defer_loading": True,
                "input_schema": dice.choice(SCHEMAS),
            }
            for name in some(dice, DEFERRED)
        ]
    dice.shuffle(tools)
    return tools


def result_content(dice: Random, references: list[str]) -> Any:
    if references and maybe(dice, 0.25):
        chosen = some(dice, references, 1, 2)
        return [{"type": "tool_reference", "tool_name": name} for name in chosen]
    return dice.choice([None, words(dice), several(dice, text_block, 0, 3)])


def _thought(dice: Random) -> dict[str, Any]:
    return {"type": "thinking", "thinking": words(dice), "signature": "s"}


def answer(dice: Random, calls: int, turn: int, names: list[str]) -> list[dict[str, Any]]:
    blocks = [_thought(dice)] if maybe(dice) else []
    blocks += several(dice, text_block, 0, 2)
    if maybe(dice, 0.2):
        blocks.append(_thought(dice))
    for number in range(calls):
        blocks.append(
            {
                "type": "tool_use",
                "id": f"toolu_{turn}_{number}",
                "name": dice.choice(names),
                "input": tool_input(dice),
            }
        )
    return blocks or [text_block(dice)]


def user_content(dice: Random, *, pictures: bool) -> Any:
    if maybe(dice):
        return words(dice)
    return several(
        dice, lambda d: d.choice(IMAGES) if pictures and maybe(d) else text_block(d), 1, 3
    )


def _system_message(dice: Random) -> dict[str, Any]:
    content = spoken(dice) if maybe(dice) else several(dice, text_block, 1, 2)
    return {"role": "system", "content": content}


def request(dice: Random, encoding: str) -> dict[str, Any]:
    """A request that DeepSeek's Messages conversion accepts, of one to five turns."""
    tools = tool_list(dice, deferred=encoding == "v4.1") if maybe(dice, 0.7) else None
    names = [t["name"] for t in tools or [] if not t.get("defer_loading")] or NAMES
    body: dict[str, Any] = {"model": "m", "max_tokens": 64}
    body["messages"] = _messages(
        dice, names, [t["name"] for t in tools or []], pictures=encoding == "v4.1"
    )
    if tools is not None:
        body["tools"] = tools
        choice = dice.choice([None, "auto", "none"])
        if choice:
            body["tool_choice"] = {"type": choice}
    _settings(dice, body)
    return body


def _messages(
    dice: Random, names: list[str], references: list[str], *, pictures: bool
) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    calls = 0
    for turn in range(dice.randint(1, 5)):
        if not calls and maybe(dice, 0.17):
            messages.append(_system_message(dice))
        messages.append({"role": "user", "content": user_content(dice, pictures=pictures)})
        if calls:
            results = [
                {
                    "type": "tool_result",
                    "tool_use_id": f"toolu_{turn - 1}_{number}",
                    "content": result_content(dice, references),
                }
                for number in some(dice, range(calls), calls)
            ]
            messages[-1]["content"] = [*results, *several(dice, text_block, 0, 1)]
        if maybe(dice, 0.25):
            messages.append({"role": "user", "content": user_content(dice, pictures=pictures)})
        if maybe(dice, 0.25):
            messages.append(_system_message(dice))
        calls = dice.randint(0, 2)
        messages.append({"role": "assistant", "content": answer(dice, calls, turn, names)})
    messages.pop()
    return messages


def _settings(dice: Random, body: dict[str, Any]) -> None:
    match dice.randrange(3):
        case 0:
            body["system"] = spoken(dice)
        case 1:
            body["system"] = several(dice, text_block, 1, 3)
    thinking = dice.choice([None, "enabled", "adaptive", "disabled"])
    if thinking:
        body["thinking"] = {"type": thinking}
        if thinking == "enabled":
            body["thinking"]["budget_tokens"] = 1024
    if thinking in {None, "disabled"}:
        return  # there DeepSeek's conversion lets an effort turn thinking on; absence means off
    effort = dice.choice([None, "low", "medium", "high", "xhigh", "max"])
    if effort:
        body["output_config"] = {"effort": effort}
