import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec.structs import replace

from deepseek_messages.prompt import grown, remembered
from deepseek_messages.prompt.counting import QUICK_TEXT, SegmentCounter, measure_prompt
from deepseek_messages.prompt.encoding import NotEncodable
from deepseek_messages.prompt.grown import GrownCounter
from deepseek_messages.prompt.tokenizer import TOKENIZER, DeepSeekTokenizer
from deepseek_messages.translation.catalogue import Encoding
from deepseek_messages.wire.chat import (
    AssistantMessage,
    ChatMessage,
    ChatRequest,
    Function,
    FunctionTool,
    ImageUrl,
    ImageUrlPart,
    SystemMessage,
    TextPart,
    UserMessage,
)
from tests.support.gates import WAIT_SECONDS

PIXEL = ImageUrlPart(ImageUrl("data:image/gif;base64,R0lGODlhAQABAAAAADs="))
FAR = ImageUrlPart(ImageUrl("https://example.com/a.png"))


class WatchedCounter(SegmentCounter):
    """Counts as usual, and says what it was given."""

    def __init__(self) -> None:
        super().__init__(TOKENIZER)
        self.texts: list[str] = []

    def count(self, text: str) -> int:
        self.texts.append(text)
        return super().count(text)


def history(turns: int, *, first: str = "Hello.", last: str = "Go on.") -> ChatRequest:
    messages: list[ChatMessage] = [SystemMessage("You tell stories."), UserMessage(first)]
    for turn in range(turns):
        messages += [AssistantMessage(content=f"Chapter {turn}."), UserMessage(f"And {turn}?")]
    messages += [AssistantMessage(content="It rains."), UserMessage(last)]
    return ChatRequest(model="m", messages=messages, tools=tools())


def tools(name: str = "f") -> list[FunctionTool]:
    return [FunctionTool(Function(name=name, description="A tool."))]


def sizes(memory: GrownCounter, chats: Sequence[ChatRequest], owner: str = "me") -> list[int]:
    return [memory.of(chat, "v4", owner).whole().tokens for chat in chats]


def test_a_conversation_that_grew_costs_its_new_turn() -> None:
    counter = WatchedCounter()
    memory = GrownCounter(counter)
    chat = history(40)
    memory.of(chat, "v4").whole()
    counter.texts.clear()
    more = replace(chat, messages=[*chat.messages, *grown_by("The sun.", "Then?")])
    assert memory.of(more, "v4").whole() == measure_prompt(more, "v4")
    assert counter.texts == ["The sun.", "Then?"]


def grown_by(answer: str, question: str) -> list[ChatMessage]:
    return [AssistantMessage(content=answer), UserMessage(question)]


def test_what_was_counted_is_known_without_counting() -> None:
    counter = WatchedCounter()
    memory = GrownCounter(counter)
    chat = history(3)
    assert memory.of(chat, "v4", "me").now() is None
    size = memory.of(chat, "v4", "me").whole()
    counter.texts.clear()
    assert memory.of(history(3), "v4", "me").now() == size
    assert counter.texts == []


def test_a_short_addition_is_quick_and_a_long_one_is_not() -> None:
    memory = GrownCounter()
    chat = history(3)
    memory.of(chat, "v4").whole()
    before = replace(chat, messages=[*chat.messages, *grown_by("No.", "Why not?")])
    memory.of(before, "v4").whole()  # what the encoder itself writes is known from now on
    short = grown_by("Yes.", "Why?")
    long = grown_by("Yes.", "Why? " * QUICK_TEXT)
    for added, quick in ((short, True), (long, False)):
        more = replace(chat, messages=[*chat.messages, *added])
        size = memory.of(more, "v4")
        assert (size.now() is not None) is quick
        assert size.whole() == measure_prompt(more, "v4")
        assert memory.of(more, "v4").now() == measure_prompt(more, "v4")


def test_a_short_prompt_is_quick_once_the_vocabulary_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hi = ChatRequest(model="m", messages=[UserMessage("Hi.")])
    size = measure_prompt(hi, "v4")
    assert GrownCounter().of(hi, "v4").now() == size
    assert GrownCounter().of(replace(hi, tools=tools()), "v4").now() is None
    assert GrownCounter().of(replace(hi, messages=[UserMessage([PIXEL])]), "v4.1").now() is None
    monkeypatch.setattr(DeepSeekTokenizer, "is_loaded", False)
    assert GrownCounter().of(hi, "v4").now() is None


def test_a_picture_is_not_looked_at_on_the_event_loop() -> None:
    memory = GrownCounter()
    chat = history(3)
    memory.of(chat, "v4.1").whole()
    more = [AssistantMessage(content="Yes."), UserMessage([TextPart("See:"), PIXEL])]
    seen = replace(chat, messages=[*chat.messages, *more])
    size = memory.of(seen, "v4.1")
    assert size.now() is None
    assert size.whole() == memory.of(seen, "v4.1").now() == measure_prompt(seen, "v4.1")


def test_long_conversations_are_not_looked_at_on_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory = GrownCounter()
    chat = history(3)
    memory.of(chat, "v4").whole()
    monkeypatch.setattr(grown, "QUICK_LOOK", 20)
    assert memory.of(chat, "v4").now() is None
    assert memory.of(chat, "v4").whole() == measure_prompt(chat, "v4")


@pytest.mark.parametrize("kept", [0, 1, 9], ids=["at the start", "early", "late"])
def test_a_beginning_however_far_back_is_found(kept: int) -> None:
    counter = WatchedCounter()
    memory = GrownCounter(counter)
    chat = history(10)
    beginning = replace(chat, messages=chat.messages[: 2 + 2 * kept])
    memory.of(beginning, "v4").whole()
    counter.texts.clear()
    assert memory.of(chat, "v4").whole() == measure_prompt(chat, "v4")
    assert "You tell stories." not in "".join(counter.texts)


def test_a_conversation_that_begins_like_another_costs_what_is_said_in_it() -> None:
    counter = WatchedCounter()
    memory = GrownCounter(counter)
    memory.of(history(1), "v4").whole()
    counter.texts.clear()
    other = replace(history(0), messages=[SystemMessage("You tell stories."), UserMessage("Ah?")])
    assert memory.of(other, "v4").now() == measure_prompt(other, "v4")
    assert counter.texts == ["Ah?"]


@pytest.mark.parametrize(
    "other",
    [
        history(3, first="Hello, you."),
        replace(history(3), tools=tools("another_tool")),
        replace(history(3), tools=None),
        replace(history(3), reasoning_effort="max"),
        replace(history(3), tool_choice="none"),
    ],
)
def test_what_differs_is_counted_anew(other: ChatRequest) -> None:
    memory = GrownCounter()
    memory.of(history(3), "v4").whole()
    size = memory.of(other, "v4")
    assert (size.now() or size.whole()) == measure_prompt(other, "v4")
    assert size.whole() != memory.of(history(3), "v4").whole()


def test_one_caller_learns_nothing_of_another() -> None:
    memory = GrownCounter()
    memory.of(history(3), "v4", "one").whole()
    assert memory.of(history(3), "v4", "two").now() is None
    assert memory.of(history(3), "v4", "one").now() is not None


def test_encodings_are_told_apart() -> None:
    memory = GrownCounter()
    memory.of(history(3), "v4").whole()
    assert memory.of(history(3), "v4.1").whole() == measure_prompt(history(3), "v4.1")


@pytest.mark.parametrize("encoding", ["v4", "v4.1"])
def test_a_system_message_may_come_later(encoding: Encoding) -> None:
    memory = GrownCounter()
    chat = ChatRequest(model="m", messages=[UserMessage("Hi.")], tools=tools())
    later = [SystemMessage("Be kind."), AssistantMessage(content="Hi."), UserMessage("And?")]
    for added in ([], later, later, grown_by("So.", "Yes?"), later):
        chat = replace(chat, messages=[*chat.messages, *added])
        size = memory.of(chat, encoding)
        assert (size.now() or size.whole()) == measure_prompt(chat, encoding)


@pytest.mark.parametrize(("image", "exact"), [(PIXEL, True), (FAR, False)])
def test_images_count_where_they_stand(image: ImageUrlPart, exact: bool) -> None:
    memory = GrownCounter()
    messages: list[ChatMessage] = [UserMessage([TextPart("Look."), image])]
    chat = ChatRequest(model="m", messages=messages)
    for _ in range(3):
        size = memory.of(chat, "v4.1").whole()
        assert size == measure_prompt(chat, "v4.1")
        assert size.exact is exact
        more = [AssistantMessage(content="I see."), UserMessage([image])]
        chat = replace(chat, messages=[*chat.messages, *more])


def test_memory_is_bounded_and_forgets_the_least_used() -> None:
    memory = GrownCounter(remembered=2)
    one, two, three = (replace(history(turns), tools=None) for turns in (1, 2, 3))
    sizes(memory, [one, two, one, three])
    assert [memory.of(chat, "v4", "me")._look(near=True) for chat in (one, three)] == [
        measure_prompt(chat, "v4") for chat in (one, three)
    ]
    assert memory.of(two, "v4", "me")._look(near=True) is None
    assert len(memory.sizes) == 2


def test_lists_of_tools_are_remembered_in_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "MOST_TOOL_LISTS", 2)
    monkeypatch.setattr(remembered, "LARGEST_TOOL_LIST", 150)
    memory = GrownCounter()
    for number in range(1, 6):
        sizes(memory, [replace(history(1), tools=tools("f" * number))])
    assert len(memory.sizes._tools._known) == 2
    sizes(memory, [replace(history(1), tools=tools("f" * 128))])
    assert all(len(each[0].function.name) < 9 for each, _ in memory.sizes._tools._known.values())


def test_memory_does_not_hold_what_was_said() -> None:
    memory = GrownCounter()
    memory.of(history(2, first="My secret."), "v4").whole()
    assert len(memory.sizes) == 2  # of the whole, and of what it begins with
    assert not any(b"secret" in key for key in memory.sizes._sizes)


def test_what_cannot_be_encoded_is_neither_known_nor_counted() -> None:
    chat = ChatRequest(model="m", messages=[])
    memory = GrownCounter()
    assert memory.of(chat, "v4").now() is None
    with pytest.raises(NotEncodable):
        memory.of(chat, "v4").whole()


def test_a_lone_surrogate_is_not_looked_up() -> None:
    chat = ChatRequest(model="m", messages=[UserMessage("\ud800")])
    assert GrownCounter().of(chat, "v4").now() is None
    with pytest.raises(UnicodeEncodeError):
        GrownCounter().of(chat, "v4").whole()


def test_many_threads_count_the_same() -> None:
    memory = GrownCounter(remembered=5)
    chats = [history(turns) for turns in range(1, 9)] * 4
    barrier = threading.Barrier(4)

    def counted(chunk: int) -> list[int]:
        barrier.wait(WAIT_SECONDS)
        return sizes(memory, chats[chunk::4])

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(counted, range(4)))
    for chunk in range(4):
        assert found[chunk] == [measure_prompt(chat, "v4").tokens for chat in chats[chunk::4]]
