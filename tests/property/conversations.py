"""Generated Messages requests, and the prompts that DeepSeek's own encoder makes of requests."""

from typing import Any

import deepseek_recipe as recipe
import msgspec
from hypothesis import strategies as st

from deepseek_messages.translation.catalogue import Choice, Encoding, Model
from deepseek_messages.translation.dialects import DEEPSEEK, Dialect
from deepseek_messages.translation.notes import Notes
from deepseek_messages.translation.parse import parse_request
from deepseek_messages.translation.plan import Translation
from deepseek_messages.translation.request import to_chat
from deepseek_messages.translation.seal import Seal

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

words = st.text("ab {}<>\"'\\\n\té中😀", max_size=6)
texts = st.builds(lambda text: {"type": "text", "text": text}, words)
spoken = words.filter(bool)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.sampled_from([0.5, -1.25, 1e-7, 3.0])
    | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=4,
)
inputs = st.dictionaries(st.sampled_from(["a", "b", "path"]), json_values, max_size=3)

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


@st.composite
def tool_lists(draw: Any, *, deferred: bool) -> list[dict[str, Any]]:
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1))
    tools = [{"name": name, "input_schema": draw(st.sampled_from(SCHEMAS))} for name in names]
    for tool in tools:
        if draw(st.booleans()):
            tool["description"] = draw(words)
    if deferred:
        late = draw(st.lists(st.sampled_from(DEFERRED), unique=True))
        tools += [
            {
                "name": name,
                "description": "d",
                "defer_loading": True,
                "input_schema": draw(st.sampled_from(SCHEMAS)),
            }
            for name in late
        ]
    return draw(st.permutations(tools))


@st.composite
def result_contents(draw: Any, references: list[str]) -> Any:
    if draw(st.integers(0, 3)) == 0 and references:
        chosen = draw(st.lists(st.sampled_from(references), min_size=1, max_size=2, unique=True))
        return [{"type": "tool_reference", "tool_name": name} for name in chosen]
    return draw(st.none() | words | st.lists(texts, max_size=3))


images = st.sampled_from(
    [
        {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
        {"type": "url", "url": "https://example.com/a.png"},
    ]
).map(lambda source: {"type": "image", "source": source})


@st.composite
def answers(draw: Any, calls: int, turn: int, names: list[str]) -> list[dict[str, Any]]:
    thought = st.builds(lambda t: {"type": "thinking", "thinking": t, "signature": "s"}, words)
    blocks: list[dict[str, Any]] = []
    if draw(st.booleans()):
        blocks.append(draw(thought))
    blocks += draw(st.lists(texts, max_size=2))
    if draw(st.integers(0, 4)) == 0:
        blocks.append(draw(thought))
    for number in range(calls):
        blocks.append(
            {
                "type": "tool_use",
                "id": f"toolu_{turn}_{number}",
                "name": draw(st.sampled_from(names)),
                "input": draw(inputs),
            }
        )
    return blocks or [draw(texts)]


@st.composite
def user_contents(draw: Any, *, pictures: bool) -> Any:
    blocks = texts | images if pictures else texts
    return draw(words | st.lists(blocks, min_size=1, max_size=3))


@st.composite
def system_messages(draw: Any) -> dict[str, Any]:
    return {"role": "system", "content": draw(spoken | st.lists(texts, min_size=1, max_size=2))}


@st.composite
def requests(draw: Any, encoding: str) -> dict[str, Any]:
    """A request that DeepSeek's Messages conversion accepts, of one to five turns."""
    tools = draw(st.none() | tool_lists(deferred=encoding == "v4.1"))
    names = [t["name"] for t in tools or [] if not t.get("defer_loading")] or NAMES
    references = [t["name"] for t in tools or []]
    pictures = encoding == "v4.1"
    body: dict[str, Any] = {"model": "m", "max_tokens": 64, "messages": []}
    messages = body["messages"]
    calls = 0
    for turn in range(draw(st.integers(1, 5))):
        if draw(st.integers(0, 5)) == 0 and not calls:
            messages.append(draw(system_messages()))
        messages.append({"role": "user", "content": draw(user_contents(pictures=pictures))})
        if calls:
            results = [
                {
                    "type": "tool_result",
                    "tool_use_id": f"toolu_{turn - 1}_{number}",
                    "content": draw(result_contents(references)),
                }
                for number in range(calls)
            ]
            extra = draw(st.lists(texts, max_size=1))
            messages[-1]["content"] = draw(st.permutations(results)) + extra
        if draw(st.integers(0, 3)) == 0:
            messages.append({"role": "user", "content": draw(user_contents(pictures=pictures))})
        if draw(st.integers(0, 3)) == 0:
            messages.append(draw(system_messages()))
        calls = draw(st.integers(0, 2))
        messages.append({"role": "assistant", "content": draw(answers(calls, turn, names))})
    messages.pop()
    if tools is not None:
        body["tools"] = tools
        choice = draw(st.sampled_from([None, "auto", "none"]))
        if choice:
            body["tool_choice"] = {"type": choice}
    _settings(draw, body)
    return body


def _settings(draw: Any, body: dict[str, Any]) -> None:
    system = draw(st.none() | spoken | st.lists(texts, min_size=1, max_size=3))
    if system is not None:
        body["system"] = system
    thinking = draw(st.sampled_from([None, "enabled", "adaptive", "disabled"]))
    if thinking:
        body["thinking"] = {"type": thinking}
        if thinking == "enabled":
            body["thinking"]["budget_tokens"] = 1024
    if thinking in {None, "disabled"}:
        return  # there DeepSeek's conversion lets an effort turn thinking on; absence means off
    effort = draw(st.sampled_from([None, "low", "medium", "high", "xhigh", "max"]))
    if effort:
        body["output_config"] = {"effort": effort}
