"""Limits, sampling and stop sequences as an upstream takes them."""

import json
from typing import Any

import pytest

from deepseek_messages.translation.dialects import (
    DEEPSEEK,
    VLLM,
    Dialect,
)
from deepseek_messages.translation.refusals import Refusal
from tests.support.translating import (
    model,
    translated,
)


@pytest.mark.row("max_tokens")
@pytest.mark.parametrize(
    ("given", "sent", "notes"),
    [
        (100, 100, []),
        (999_999, 8192, ["clamped=max_tokens@max_tokens"]),
        (0, 1, ["emulated=max_tokens@max_tokens"]),
    ],
)
def test_max_tokens_is_clamped(given: int, sent: int, notes: list[str]) -> None:
    done = translated("hi", max_tokens=given, served=model(max_output_tokens=8192))

    assert done.sent["max_tokens"] == sent
    assert done.notes == notes
    assert done.plan.no_output is (given == 0)


SAMPLING: dict[str, tuple[Dialect, dict[str, Any], dict[str, Any], list[str]]] = {
    "temperature": (DEEPSEEK, {"temperature": 1.5}, {"temperature": 1.5}, []),
    "top_p": (DEEPSEEK, {"top_p": 0.5}, {"top_p": 0.5}, []),
    "top_p of zero": (DEEPSEEK, {"top_p": 0}, {"top_p": 0.01}, ["clamped=top_p@top_p"]),
    "top_k dropped": (DEEPSEEK, {"top_k": 5}, {}, ["ignored=top_k@top_k"]),
    "top_k dropped whatever it is": (DEEPSEEK, {"top_k": "x"}, {}, ["ignored=top_k@top_k"]),
    "top_k sent": (VLLM, {"top_k": 5}, {"top_k": 5}, []),
    "top_k of zero": (VLLM, {"top_k": 0}, {}, []),
    "null": (VLLM, {"top_k": None, "temperature": None, "top_p": None}, {}, []),
}


@pytest.mark.parametrize(
    ("dialect", "given", "sent", "notes"), SAMPLING.values(), ids=SAMPLING.keys()
)
def test_sampling_as_sent(dialect: Dialect, given: Any, sent: Any, notes: list[str]) -> None:
    done = translated("hi", dialect=dialect, **given)

    fields = ("temperature", "top_p", "top_k")
    assert {k: v for k, v in done.sent.items() if k in fields} == sent
    assert done.notes == notes


def test_bad_top_k_is_refused_where_it_counts() -> None:
    with pytest.raises(Refusal, match=r"^top_k: "):
        translated("hi", dialect=VLLM, top_k="x")


@pytest.mark.row("stop_sequences")
@pytest.mark.parametrize("count", [1, 20])
def test_sr05_sr07_stop_sequences_are_matched_here_where_the_upstream_hides_the_match(
    count: int,
) -> None:
    many = [f"<{number}>" for number in range(count)]
    done = translated("hi", stop_sequences=many)

    assert "stop" not in done.sent
    assert done.sent["stream"] is True  # so that it can be cut
    assert done.plan.stop_sequences == tuple(many)
    assert done.notes == ["emulated=stop_sequences@stop_sequences"]


def test_sr07_stop_sequences_are_sent_as_a_list_to_a_server_that_names_the_match() -> None:
    done = translated("hi", dialect=VLLM, stop_sequences=["END"])

    assert done.sent["stop"] == ["END"]
    assert "stream" not in done.sent
    assert done.notes == []


@pytest.mark.parametrize("given", [[], [""], None])
def test_no_stop_sequence_is_sent_when_none_means_anything(given: Any) -> None:
    assert "stop" not in translated("hi", stop_sequences=given).sent


def test_er13_user_id_is_hashed_into_the_alphabet() -> None:
    user_id = json.dumps({"device_id": "é", "session_id": "1"})
    ids = [
        translated("hi", metadata={"user_id": given}).sent["user_id"]
        for given in (user_id, user_id, "someone else")
    ]

    assert ids[0] == ids[1] != ids[2]
    assert ids[0].isalnum()
    assert len(ids[0]) == 32


def user_sent(user_id: Any) -> str:
    given = user_id if isinstance(user_id, str) else json.dumps(user_id)
    sent: str = translated("hi", metadata={"user_id": given}).sent["user_id"]
    return sent


def test_a_users_next_session_has_the_same_user_id() -> None:
    """DeepSeek's cache is kept by user: the long beginning that sessions share is cached once."""
    user = {"device_id": "d" * 64, "account_uuid": ""}
    assert user_sent(user | {"session_id": "1"}) == user_sent(user | {"session_id": "2"})
    assert user_sent(user | {"session_id": "1"}) != user_sent(user | {"device_id": "other"})
    old = "user_{}_account__session_{}"
    one, two = (f"{n}1234567-89ab-4cde-8f01-23456789abcd" for n in "01")
    assert user_sent(old.format("a", one)) == user_sent(old.format("a", two))
    assert user_sent(old.format("a", one)) != user_sent(old.format("b", one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"session_id": "1"}, {"session_id": "2"}),
        ({"session_id": "1", "device_id": ""}, {"session_id": "2", "device_id": ""}),
        ("[1]", "[2]"),
        ("1", "2"),
        ("{", "{{"),
        ("my_session_1", "my_session_2"),
        *[('{"a":' * n + "1" + "}" * n, '{"a":' * n + "2" + "}" * n) for n in (3, 600, 900, 5000)],
    ],
)
def test_what_names_no_user_is_taken_as_it_is(one: Any, other: Any) -> None:
    assert user_sent(one) != user_sent(other)


def test_user_id_is_not_sent_where_it_is_not_known() -> None:
    done = translated("hi", metadata={"user_id": "u"}, dialect=VLLM)

    assert "user_id" not in done.sent
    assert done.notes == ["ignored=metadata.user_id@metadata.user_id"]


@pytest.mark.parametrize("stream", [True, False, None])
def test_usage_is_always_asked_for_in_streams(stream: Any) -> None:
    done = translated("hi", stream=stream)

    assert done.sent.get("stream", False) is bool(stream)
    assert done.sent.get("stream_options") == ({"include_usage": True} if stream else None)


@pytest.mark.parametrize(
    "field",
    ["cache_control", "service_tier", "container", "diagnostics", "tags"],
)
def test_ignored_field_is_noted_and_not_sent(field: str) -> None:
    done = translated("hi", **{field: {"a": 1}})

    assert field not in done.sent
    assert done.notes == [f"ignored={field}@{field}"]
