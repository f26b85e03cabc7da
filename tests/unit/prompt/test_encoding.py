import pytest

from deepseek_messages.prompt.encoding import NotEncodable, render, segments
from deepseek_messages.translation.catalogue import Encoding
from deepseek_messages.wire.chat import (
    AssistantMessage,
    ChatMessage,
    ChatRequest,
    FilePart,
    FileReference,
    FunctionCall,
    SystemMessage,
    TextPart,
    ThinkingSwitch,
    ToolCall,
    ToolMessage,
    UserMessage,
)

OFF = ThinkingSwitch("disabled")
ENCODINGS: tuple[Encoding, ...] = ("v4", "v4.1")


def request(*messages: ChatMessage, **fields: object) -> ChatRequest:
    return ChatRequest(model="any-name", messages=list(messages), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_plain_question(encoding: Encoding) -> None:
    rendered = render(request(UserMessage("Say hi briefly."), thinking=OFF), encoding)
    assert rendered.prompt == (
        "<｜begin▁of▁sentence｜><｜User｜>Say hi briefly.<｜Assistant｜></think>"
    )


def test_system_token_is_v41s_alone() -> None:
    chat = request(SystemMessage("Be kind."), UserMessage("Hi"), thinking=OFF)
    assert "<｜System｜>Be kind." in render(chat, "v4.1").prompt
    assert "<｜System｜>" not in render(chat, "v4").prompt


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_segments_join_to_the_prompt(encoding: Encoding) -> None:
    chat = request(
        SystemMessage("S"),
        UserMessage("calls <｜User｜> by name"),
        AssistantMessage(
            content="",
            reasoning_content="r",
            tool_calls=[ToolCall("c1", FunctionCall("f", '{"a":1}'))],
        ),
        ToolMessage(tool_call_id="c1", content="result"),
    )
    rendered = render(chat, encoding)
    pieces = list(segments(rendered))
    assert "".join(text for text, _ in pieces) == rendered.prompt
    assert all(text for text, _ in pieces)
    assert ("calls <｜User｜> by name", False) in pieces
    assert ("<｜User｜>", True) in pieces


def test_limits_and_sampling_are_no_reason_not_to_render() -> None:
    plain = request(UserMessage("Hi"))
    odd = request(
        UserMessage("Hi"),
        max_tokens=10**9,
        temperature=9.0,
        stop=["x"] * 99,
        stream=True,
        user_id="no such id!",
    )
    assert render(odd, "v4").prompt == render(plain, "v4").prompt


@pytest.mark.parametrize("switch", [True, False])
def test_template_switch_means_the_same_as_the_field(switch: bool) -> None:
    by_field = request(
        UserMessage("Hi"), thinking=ThinkingSwitch("enabled" if switch else "disabled")
    )
    by_template = request(UserMessage("Hi"), chat_template_kwargs={"thinking": switch})
    assert render(by_template, "v4").prompt == render(by_field, "v4").prompt


def test_reasoning_under_its_other_name() -> None:
    tail = [UserMessage("again")]
    call = [ToolCall("c1", FunctionCall("f", "{}"))]
    result = ToolMessage(tool_call_id="c1", content="ok")
    ours = AssistantMessage(content="", reasoning_content="because", tool_calls=call)
    theirs = AssistantMessage(content="", reasoning="because", tool_calls=call)
    head = UserMessage("Hi")
    prompts = {render(request(head, each, result, *tail), "v4").prompt for each in (ours, theirs)}
    assert len(prompts) == 1


def test_file_is_rendered_as_an_image() -> None:
    parts = [TextPart("What is this?"), FilePart(FileReference("file-api-1"))]
    rendered = render(request(UserMessage(parts), thinking=OFF), "v4.1")
    assert ("<｜image｜>", True) in list(segments(rendered))
    assert len(rendered.image_sources) == 1


def test_continued_answer_stays_open() -> None:
    chat = request(UserMessage("Q"), AssistantMessage(content="So", prefix=True), thinking=OFF)
    assert render(chat, "v4").prompt.endswith("</think>So")


@pytest.mark.parametrize(
    "messages",
    [[], [ToolMessage(tool_call_id="c1", content="x")]],
    ids=["none", "result without call"],
)
def test_what_deepseek_refuses_is_not_encodable(messages: list[ChatMessage]) -> None:
    with pytest.raises(NotEncodable):
        render(request(*messages), "v4")
