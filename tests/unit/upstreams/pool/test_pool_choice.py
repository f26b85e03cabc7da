"""Whom a pool chooses: sessions, beginnings, names."""

from typing import Any

import msgspec
import pytest

from deepseek_messages.translation.catalogue import FLASH, PRO
from deepseek_messages.translation.dialects import VLLM
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.upstreams.pool.member import Place
from deepseek_messages.wire.messages import InputMessage, MessagesRequest, Metadata
from tests.unit.upstreams.pool.world import BOOM, World, failing, fake, pair, request

pytestmark = pytest.mark.anyio


def four() -> World:
    return World({f"gpu-{number}": (fake(), Place()) for number in range(4)})


async def test_a_session_goes_to_one_server() -> None:
    world = four()
    for _ in range(8):
        await world.ask(session="conversation")
    assert sorted(world.calls().values()) == [0, 0, 0, 8]


async def test_without_a_session_the_beginning_decides() -> None:
    world = four()
    for number in range(8):
        history = [
            InputMessage(role="user", content="One beginning"),
            InputMessage(role="assistant", content="Yes"),
            InputMessage(role="user", content=f"Turn {number}"),
        ]
        asked = MessagesRequest(model="deepseek-chat", max_tokens=9, messages=history, stream=True)
        answer = await world.answer(asked)
        await answer.opened()
        await answer.aclose()
    assert sorted(world.calls().values()) == [0, 0, 0, 8]


async def test_a_long_common_beginning_goes_back_to_the_server_that_has_it() -> None:
    world = four()
    for number in range(12):
        await world.ask(f"Question {number}", system="You are helpful. " * 2000)
    assert sorted(world.calls().values()) == [0, 0, 0, 12]


async def test_short_ones_are_spread() -> None:
    world = four()
    for number in range(40):
        await world.ask(f"Question {number}", system="You are helpful.")
    assert min(world.calls().values()) >= 4


async def test_a_conversation_goes_back_to_where_it_went_when_its_server_was_busy() -> None:
    world = four()
    system = "You are helpful. " * 2000
    running = [await world.answer(request(f"Question {n}", system=system)) for n in range(8)]
    for answer in running:
        await answer.opened()
    where = {n: _asked(world, f"Question {n}") for n in range(8)}
    assert len(set(where.values())) > 1  # nobody gets all of them at once
    for answer in running:
        await answer.aclose()
    for n, server in where.items():
        messages = [InputMessage("user", f"Question {n}"), InputMessage("assistant", "Yes"),
                    InputMessage("user", f"Again {n}")]  # fmt: skip
        later = MessagesRequest(model="m", max_tokens=9, system=system, messages=messages)
        answer = await world.answer(later)
        await answer.opened()
        await answer.aclose()
        assert _asked(world, f"Again {n}") == server


def _asked(world: World, words: str) -> str:
    """The server that was asked in these words."""
    (found,) = (
        name
        for name, each in world.fakes.items()
        if any(words in str(played.call.request.messages[-1]) for played in each.played)
    )
    return found


async def test_sessions_are_spread() -> None:
    world = four()
    for number in range(40):
        await world.ask(session=f"conversation {number}")
    assert min(world.calls().values()) >= 4


async def test_the_model_asked_for_by_its_own_name_is_found_wherever_it_is() -> None:
    world = pair(fake(models=[FLASH]), fake(models=[PRO]))
    await world.pool.models()
    await world.ask(model="deepseek-v4-pro")
    assert world.calls() == {"first": 0, "second": 1}


async def test_the_users_id_stays_the_same_on_every_key() -> None:
    world = pair(failing(BOOM), fake())
    await world.ask(metadata=Metadata(user_id="alice"))
    ids = {each.played[0].call.request.user_id for each in world.fakes.values()}
    assert len(ids) == 1
    assert None not in ids


async def test_a_refusal_is_no_reason_to_ask_another() -> None:
    world = pair(fake(dialect=VLLM), fake(dialect=VLLM))
    with pytest.raises(Refusal):
        await world.answer(request(top_k=raw(b'"x"')))
    assert world.loads() == {"first": 0, "second": 0}


def raw(data: bytes) -> Any:
    return msgspec.Raw(data)
