import pytest
from msgspec import Raw
from msgspec.structs import replace

from deepseek_messages.prompt.counting import count_prompt
from deepseek_messages.prompt.estimate import MOST_IMAGE_TOKENS, estimate_prompt, estimate_text
from deepseek_messages.wire.chat import (
    AssistantMessage,
    ChatRequest,
    Function,
    FunctionCall,
    FunctionTool,
    ImageUrl,
    ImageUrlPart,
    SystemMessage,
    TextPart,
    ThinkingSwitch,
    ToolCall,
    ToolMessage,
    UserMessage,
)


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("a", 1), ("a" * 100, 30), ("世" * 100, 60), ("世a" * 100, 90)]
)
def test_characters_are_weighed_as_deepseek_says(text: str, tokens: int) -> None:
    assert estimate_text(text) == pytest.approx(tokens, abs=1)


CHAT = ChatRequest(
    model="m",
    messages=[
        SystemMessage("You answer questions about the weather, shortly and politely."),
        UserMessage("What is the weather like in Rome today, and do I need an umbrella?"),
        AssistantMessage(
            content=None,
            reasoning_content="The user wants today's weather in Rome. I call the tool.",
            tool_calls=[ToolCall("c1", FunctionCall("get_weather", '{"city": "Rome"}'))],
        ),
        ToolMessage(tool_call_id="c1", content="Sunny, 18 degrees, a light wind from the west."),
    ],
    tools=[
        FunctionTool(
            Function(
                name="get_weather",
                description="The weather of a city at this moment.",
                parameters=Raw(b'{"type":"object","properties":{"city":{"type":"string"}}}'),
            )
        )
    ],
    thinking=ThinkingSwitch("disabled"),
)


def test_estimate_is_near_the_truth_without_the_frame_of_tools() -> None:
    plain = replace(CHAT, tools=None)
    truth = count_prompt(plain, "v4.1")
    assert truth / 2 < estimate_prompt(plain) < truth * 2


@pytest.mark.parametrize("cut", ["messages", "tools"])
def test_every_part_counts(cut: str) -> None:
    less = replace(CHAT, **({"messages": CHAT.messages[:-1]} if cut == "messages" else {cut: None}))
    assert estimate_prompt(less) < estimate_prompt(CHAT)


def test_image_counts_the_most() -> None:
    parts = [TextPart("Look"), ImageUrlPart(ImageUrl("https://example.com/a.png"))]
    chat = ChatRequest(model="m", messages=[UserMessage(parts)])
    assert estimate_prompt(chat) >= MOST_IMAGE_TOKENS
