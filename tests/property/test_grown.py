"""The size of a prompt that grew is that of the whole, whatever was counted before."""

from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from deepseek_messages.prompt.counting import COUNTER, PromptCount
from deepseek_messages.prompt.encoding import NotEncodable, render
from deepseek_messages.prompt.grown import GrownCounter
from deepseek_messages.wire.chat import (
    AssistantMessage,
    ChatMessage,
    ChatRequest,
    FunctionName,
    NamedToolChoice,
    ResponseFormat,
    SystemMessage,
    UserMessage,
)
from tests.property.conversations import request, translate
from tests.property.test_captured_conversations import CAPTURES
from tests.property.test_prefix import odd_message, turns
from tests.support.generated import cases, maybe, several

ENCODINGS: Any = pytest.mark.parametrize("encoding", ["v4", "v4.1"])


def whole(chat: ChatRequest, encoding: Any) -> PromptCount | None:
    """The oracle: all of it rendered and counted."""
    try:
        return COUNTER.count_rendered(render(chat, encoding))
    except NotEncodable:
        return None


def grown(memory: GrownCounter, chat: ChatRequest, encoding: Any, dice: Random) -> Any:
    """As a request asks: what is quick first, or all at once."""
    size = memory.of(chat, encoding)
    if maybe(dice) and (quick := size.now()) is not None:
        return quick
    try:
        return size.whole()
    except NotEncodable:
        return None


def check(chats: list[ChatRequest], encoding: Any, dice: Random) -> None:
    """Count ``chats`` one after the other, and everything again."""
    memory = GrownCounter()
    for chat in [*chats, *chats]:
        assert grown(memory, chat, encoding, dice) == whole(chat, encoding)


@cases(400)
@ENCODINGS
def test_a_conversation_as_it_grows(encoding: Any, dice: Random) -> None:
    check([translate(t, encoding).chat for t in turns(request(dice, encoding))], encoding, dice)


def changed(dice: Random, chat: ChatRequest) -> ChatRequest:
    """``chat`` with something else about it."""
    messages = list(chat.messages)
    place = dice.randrange(len(messages))
    tools = list(chat.tools or [])
    match dice.randrange(10):
        case 0:
            messages[place] = UserMessage("something else")
        case 1:
            del messages[place]
        case 2:
            dice.shuffle(messages)
        case 3:
            return replace(chat, tools=tools[::-1] or None)
        case 4:
            return replace(chat, tools=tools[1:] or None)
        case 5:
            return replace(chat, messages=[without_reasoning(each) for each in messages])
        case 6:
            return replace(chat, tool_choice="required" if tools else None)
        case 7:
            named = NamedToolChoice(FunctionName(tools[0].function.name)) if tools else None
            return replace(chat, tool_choice=named)
        case 8:
            return replace(chat, response_format=ResponseFormat("json_object"))
        case 9:
            messages.insert(place, SystemMessage(dice.choice(["", "Be kind."])))
    return replace(chat, messages=messages or [UserMessage("")])


def without_reasoning(message: ChatMessage) -> ChatMessage:
    if isinstance(message, AssistantMessage):
        return replace(message, reasoning_content=None, reasoning=None)
    return message


@cases(400)
@ENCODINGS
def test_a_conversation_that_is_changed_on_the_way(encoding: Any, dice: Random) -> None:
    chats = [translate(t, encoding).chat for t in turns(request(dice, encoding))]
    other = [changed(dice, each) for each in chats]
    more = [replace(chats[-1], messages=each.messages + chats[-1].messages) for each in other]
    check([*chats, *other, *chats, *more], encoding, dice)


def opening(chat: ChatRequest) -> list[ChatMessage]:
    """The system prompt."""
    return [each for each in chat.messages[:1] if isinstance(each, SystemMessage)]


@cases(400)
@ENCODINGS
def test_conversations_that_begin_alike(encoding: Any, dice: Random) -> None:
    chats = [translate(request(dice, encoding), encoding).chat for _ in range(3)]
    first = chats[0]
    alike = [
        replace(first, messages=opening(first) + chat.messages[len(opening(chat)) :])
        for chat in chats
    ]
    check(alike, encoding, dice)


@cases(400)
@ENCODINGS
def test_any_history_and_all_its_beginnings(encoding: Any, dice: Random) -> None:
    body: dict[str, Any] = {
        "model": "m",
        "max_tokens": 9,
        "messages": several(dice, odd_message, 1, 6),
    }
    if maybe(dice):
        body["thinking"] = {"type": "adaptive"}
    chat = translate(body, encoding).chat
    beginnings = [
        replace(chat, messages=chat.messages[:end]) for end in range(1, len(chat.messages) + 1)
    ]
    check(beginnings, encoding, dice)


@ENCODINGS
@pytest.mark.parametrize("name", CAPTURES)
def test_captured_conversations(encoding: Any, name: str) -> None:
    chats = [translate(turn, encoding).chat for turn in turns(CAPTURES[name])]
    check(chats, encoding, Random(name))
