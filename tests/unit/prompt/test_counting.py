import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from deepseek_messages.prompt.counting import (
    SegmentCounter,
    count_prompt,
    count_text,
    measure_prompt,
)
from deepseek_messages.prompt.encoding import conversation, encoder, render
from deepseek_messages.prompt.estimate import MOST_IMAGE_TOKENS
from deepseek_messages.prompt.tokenizer import TOKENIZER
from deepseek_messages.translation.catalogue import Encoding
from deepseek_messages.wire.chat import (
    AssistantMessage,
    ChatMessage,
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

ENCODINGS: tuple[Encoding, ...] = ("v4", "v4.1")
OFF = ThinkingSwitch("disabled")
ON = ThinkingSwitch("enabled")
SCHEMA = Raw(b'{"type":"object"}')
HI = [UserMessage("Say hi briefly.")]


def request(messages: list[ChatMessage], **fields: object) -> ChatRequest:
    return ChatRequest(model="m", messages=messages, **fields)  # type: ignore[arg-type]


BY_ENCODER = {each: encoder(each).with_tokenizer(TOKENIZER.full) for each in ENCODINGS}


def by_encoder(chat: ChatRequest, encoding: Encoding) -> int:
    return len(BY_ENCODER[encoding].encode(conversation(chat, encoding)))


class CountingTokenizer:
    """The real tokenizer, with a record of what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def count(self, text: str) -> int:
        self.asked.append(text)
        return TOKENIZER.count(text)

    def count_special(self, spelling: str) -> int:
        return TOKENIZER.count_special(spelling)


# --- published figures ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "thinking", "effort", "tokens"),
    [
        ("v4", OFF, None, 8),
        ("v4", ON, "low", 8),
        ("v4", ON, "high", 8 + 79),
        ("v4", ON, "max", 8 + 92),
        ("v4.1", OFF, None, 8),
        ("v4.1", ON, None, 34),
        ("v4.1", ON, "low", 34),
        ("v4.1", ON, "high", 34),
        ("v4.1", ON, "max", 34),
        ("v4.1", None, None, 34),
    ],
)
def test_short_question_costs(
    encoding: Encoding, thinking: ThinkingSwitch | None, effort: str | None, tokens: int
) -> None:
    chat = request([*HI], thinking=thinking, reasoning_effort=effort)
    assert count_prompt(chat, encoding) == tokens


def test_system_message_costs_one_token_more_in_v41() -> None:
    chat = request([SystemMessage("Be kind."), *HI], thinking=OFF)
    text = count_text("Be kind.")
    assert count_prompt(chat, "v4") == 8 + text
    assert count_prompt(chat, "v4.1") == 8 + text + 1


@pytest.mark.parametrize(("encoding", "section"), [("v4", 222), ("v4.1", 212)])
def test_tools_section_costs(encoding: Encoding, section: int) -> None:
    tool = FunctionTool(Function(name="f", description="d", parameters=SCHEMA))
    chat = request([SystemMessage("S"), *HI], thinking=OFF)
    with_tool = replace(chat, tools=[tool])
    schema = json.dumps({"name": "f", "description": "d", "parameters": {"type": "object"}})
    growth = count_prompt(with_tool, encoding) - count_prompt(chat, encoding)
    assert growth == section + count_text(schema + "\n")


@pytest.mark.parametrize(("encoding", "block"), [("v4", 41), ("v4.1", 35)])
def test_one_call_and_its_result_cost(encoding: Encoding, block: int) -> None:
    call = ToolCall("c1", FunctionCall("f", '{"x": "a"}'))
    chat = request(
        [
            UserMessage("Q"),
            AssistantMessage(content="", tool_calls=[call]),
            ToolMessage(tool_call_id="c1", content="ok"),
        ],
        thinking=OFF,
    )
    asked = count_prompt(request([UserMessage("Q")], thinking=OFF), encoding)
    blank_line, end, user, header = 1, 1, 1, 2
    result = count_text("<tool_result>ok</tool_result>")
    grown = asked + blank_line + block + end + user + result + header
    assert count_prompt(chat, encoding) == grown


def test_frame_of_a_result_costs() -> None:
    assert count_text("<tool_result></tool_result>") == 7


def test_without_a_choice_of_tools_their_schemas_are_not_in_the_prompt() -> None:
    tool = FunctionTool(Function(name="f", parameters=SCHEMA))
    none = request([*HI], thinking=OFF, tools=[tool], tool_choice="none")
    assert count_prompt(none, "v4") == 8


# --- equality with the encoder --------------------------------------------------------------------

SPELLINGS = [
    *sorted(TOKENIZER.special_ids)[::40],
    "<｜User｜>",
    "<｜Assistant｜>",
    "<think>",
    "</think>",
    "｜DSML｜",
    "<｜System｜>",
    "<｜end▁of▁sentence｜>",
    "<｜image｜>",
    "<｜deepseek_image｜>",
]
texts = st.lists(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
        st.sampled_from(SPELLINGS),
        st.sampled_from(["\n\n", " ", "你好", "12345", "<", "｜", "{}", "'s", "é", "😀"]),
    ),
    max_size=6,
).map("".join)
arguments = st.dictionaries(st.text("abc", min_size=1, max_size=3), texts, max_size=3).map(
    lambda value: json.dumps(value, ensure_ascii=False)
)


@st.composite
def conversations(draw: st.DrawFn) -> ChatRequest:
    messages: list[ChatMessage] = []
    if draw(st.booleans()):
        messages.append(SystemMessage(draw(texts)))
    for turn in range(draw(st.integers(1, 3))):
        messages.append(UserMessage(draw(texts)))
        calls = [
            ToolCall(f"c{turn}_{index}", FunctionCall("f", draw(arguments)))
            for index in range(draw(st.integers(0, 2)))
        ]
        messages.append(
            AssistantMessage(
                content=draw(texts), reasoning_content=draw(texts), tool_calls=calls or None
            )
        )
        messages.extend(ToolMessage(tool_call_id=call.id, content=draw(texts)) for call in calls)
    messages.append(UserMessage(draw(texts)))
    tool = FunctionTool(Function(name="f", description=draw(texts), parameters=SCHEMA))
    return request(
        messages,
        thinking=draw(st.sampled_from([OFF, ON])),
        tools=draw(st.sampled_from([None, [tool]])),
        reasoning_effort=draw(st.sampled_from([None, "low", "high", "max"])),
    )


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(chat=conversations())
def test_count_is_the_length_of_the_encoders_ids(encoding: Encoding, chat: ChatRequest) -> None:
    assert count_prompt(chat, encoding) == by_encoder(chat, encoding)


# --- what is remembered ---------------------------------------------------------------------------


def history(turns: int) -> ChatRequest:
    messages: list[ChatMessage] = [SystemMessage("You are the keeper of a long story. " * 50)]
    for turn in range(turns):
        messages.append(UserMessage(f"Question {turn}: what happens in chapter {turn}?"))
        messages.append(AssistantMessage(content=f"In chapter {turn} it rains, and then stops."))
    messages.append(UserMessage(f"Question {turns}: what happens in chapter {turns}?"))
    return request(messages, thinking=OFF)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_conversation_that_grew_by_one_turn_costs_its_new_turn(encoding: Encoding) -> None:
    tokenizer = CountingTokenizer()
    counter = SegmentCounter(tokenizer)
    counter.count_rendered(render(history(40), encoding))
    tokenizer.asked.clear()
    counter.count_rendered(render(history(41), encoding))
    assert tokenizer.asked == [
        "In chapter 40 it rains, and then stops.",
        "Question 41: what happens in chapter 41?",
    ]


def test_a_repeated_count_asks_the_tokenizer_nothing() -> None:
    tokenizer = CountingTokenizer()
    counter = SegmentCounter(tokenizer)
    first = counter.count_rendered(render(history(3), "v4"))
    tokenizer.asked.clear()
    assert counter.count_rendered(render(history(3), "v4")) == first
    assert tokenizer.asked == []


def test_memory_is_bounded_and_forgets_the_least_used() -> None:
    tokenizer = CountingTokenizer()
    counter = SegmentCounter(tokenizer, remembered=2)
    for text in ("one", "two", "one", "three", "one", "two"):
        counter.count(text)
    assert tokenizer.asked == ["one", "two", "three", "two"]
    assert len(counter._counts) == 2


def test_memory_does_not_hold_long_texts() -> None:
    counter = SegmentCounter(CountingTokenizer())
    secret = "the user's own words, more than a few of them"
    counter.count(secret)
    assert secret not in counter._counts


def test_many_threads_count_the_same() -> None:
    counter = SegmentCounter(CountingTokenizer(), remembered=10)
    chats = [history(turns) for turns in range(1, 9)] * 4
    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(lambda chat: counter.count_rendered(render(chat, "v4")), chats))
    assert [each.tokens for each in counts] == [count_prompt(chat, "v4") for chat in chats]


# --- images ---------------------------------------------------------------------------------------

PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAADs="


def test_image_given_as_data_is_counted_exactly() -> None:
    text = request([UserMessage([TextPart("What is this?")])], thinking=OFF)
    both = [TextPart("What is this?"), ImageUrlPart(ImageUrl(PIXEL))]
    chat = request([UserMessage(both)], thinking=OFF)
    count = measure_prompt(chat, "v4.1")
    joint = count_text("What is this?\n\n") - count_text("What is this?")
    assert count.tokens == count_prompt(text, "v4.1") + joint + 13 * 14 + 2
    assert count.exact


def test_image_given_by_url_is_counted_at_the_most_and_said_so() -> None:
    parts = [ImageUrlPart(ImageUrl("https://example.com/a.png"))]
    count = measure_prompt(request([UserMessage(parts)], thinking=OFF), "v4.1")
    empty = count_prompt(request([UserMessage("")], thinking=OFF), "v4.1")
    assert count.tokens == empty + MOST_IMAGE_TOKENS
    assert not count.exact
