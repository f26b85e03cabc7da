"""What two requests have in common from their beginning on."""

from typing import Any

import msgspec

from deepseek_messages.service.beginning import LONG, MOST_PARTS, beginning_of
from deepseek_messages.translation.request.parse import parse_request
from deepseek_messages.upstreams.route import Beginning

LONG_TEXT = "All work and no play. " * (LONG // 20)
TOOL = {"name": "get", "input_schema": {"type": "object"}}
EPHEMERAL = {"cache_control": {"type": "ephemeral"}}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def said(content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def begins(*messages: Any, caller: str = "me", **fields: Any) -> Beginning:
    body = {"model": "m", "max_tokens": 9, "messages": list(messages), **fields}
    return beginning_of(parse_request(msgspec.json.encode(body)), caller)


def shared(one: Beginning, other: Beginning) -> int:
    return len(set(one.prefixes) & set(other.prefixes))


def test_all_turns_of_a_conversation_have_one_key() -> None:
    first = begins(user("Hi"), system="Be kind.", tools=[TOOL])
    later = begins(user("Hi"), said("Hello"), user("And now?"), system="Be kind.", tools=[TOOL])
    assert first.conversation == later.conversation
    assert begins(user("Ho"), system="Be kind.", tools=[TOOL]).conversation != first.conversation


def test_callers_and_users_have_conversations_of_their_own() -> None:
    keys = {
        begins(user("Hi")).conversation,
        begins(user("Hi"), caller="you").conversation,
        begins(user("Hi"), metadata={"user_id": "a"}).conversation,
        begins(user("Hi"), metadata={"user_id": "b"}).conversation,
    }
    assert len(keys) == 4


def test_a_mark_that_moves_changes_nothing() -> None:
    block = {"type": "text", "text": "Hi"}
    image = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}
    marked = begins(user([image | EPHEMERAL, block | EPHEMERAL]), tools=[TOOL | EPHEMERAL])
    plain = begins(user([image, block]), said("Yes"), user("More"), tools=[TOOL])
    assert marked.conversation == plain.conversation
    assert begins(user("Hi")).conversation == begins(user([block | EPHEMERAL])).conversation


def test_words_that_look_like_a_mark_are_words() -> None:
    one, other = (
        begins(user([{"type": "tool_result", "tool_use_id": "t", "content": text}]))
        for text in ('{"cache_control":{"a":1}}', "{}")
    )
    assert one.conversation != other.conversation


def test_a_short_beginning_is_not_worth_going_back_for() -> None:
    assert begins(user("Hi"), system="Be kind.").prefixes == []


def test_a_long_system_prompt_is_shared_by_whoever_sends_it() -> None:
    one = begins(user("Hi"), system=LONG_TEXT)
    other = begins(user("Ho"), system=LONG_TEXT, caller="you", metadata={"user_id": "u"})
    assert shared(one, other) == 2  # up to the role of the first message
    assert one.conversation != other.conversation
    assert shared(one, begins(user("Hi"), system="!" + LONG_TEXT)) == 0
    assert shared(one, begins(user("Hi"), system=LONG_TEXT, tools=[TOOL])) == 0


def test_a_long_document_is_shared_by_questions_about_it() -> None:
    document = {"type": "text", "text": LONG_TEXT}
    one, other = (
        begins(user([document, {"type": "text", "text": question}]))
        for question in ("Who?", "Why?")
    )
    assert shared(one, other) == 1


def test_of_an_endless_history_the_first_parts_are_looked_at() -> None:
    history = [each for n in range(200) for each in (user(f"{n}"), said("Yes"))]
    found = begins(*history, user("And?"), system=LONG_TEXT)
    assert len(found.prefixes) == MOST_PARTS - 1
