"""Plays an answer over several calls without a server: scripts in, events and requests out."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw

from deepseek_messages.translation.answer.sse import ChunkReader, encode_events
from deepseek_messages.translation.catalogue import Choice
from deepseek_messages.translation.dialects import DEEPSEEK, Dialect
from deepseek_messages.translation.faults import Fault
from deepseek_messages.translation.hosted.round_parts import PendingTool
from deepseek_messages.translation.hosted.rounds import Need, Rounds
from deepseek_messages.translation.hosted.server_tools import NOTHING_HOSTED, Hosted, Outcome
from deepseek_messages.translation.notes import Notes
from deepseek_messages.translation.request.parse import parse_request
from deepseek_messages.translation.request.request import to_chat
from deepseek_messages.wire.events import ContentBlockStart, MessageDelta, StreamEvent
from deepseek_messages.wire.messages import Usage
from tests.support.answers import plain, sse
from tests.support.sse import assert_lawful
from tests.support.translating import SEAL, model, user

Script = Sequence[Any]  # the frames of one call of the upstream


class Played:
    """What became of the scripts."""

    def __init__(self) -> None:
        self.events: list[StreamEvent] = []
        self.asked: list[dict[str, Any]] = []  # the chat requests, in order
        self.waited: list[PendingTool] = []  # the tools that somebody had to run
        self.notes: list[str] = []

    @property
    def plain(self) -> list[str]:
        return plain(self.events)

    @property
    def usage(self) -> Usage:
        (end,) = (event for event in self.events if isinstance(event, MessageDelta))
        return end.usage

    @property
    def blocks(self) -> list[Any]:
        """The blocks that come whole: results of tools."""
        starts = (each for each in self.events if isinstance(each, ContentBlockStart))
        found = (start.content_block for start in starts)
        return [msgspec.json.decode(block) for block in found if isinstance(block, Raw)]


def rounds_of(
    dialect: Dialect = DEEPSEEK, hosted: Hosted = NOTHING_HOSTED, **fields: Any
) -> tuple[Rounds, Notes]:
    """The machine for a request that holds ``fields``."""
    body = {"model": "asked", "max_tokens": 100, "messages": [user("hi")], **fields}
    request, notes = parse_request(msgspec.json.encode(body)), Notes()
    choice = Choice(model=model(), requested="asked")
    made = to_chat(request, choice, dialect, notes, SEAL, hosted=hosted)
    assert made.rounds is not None
    rounds = Rounds(
        made.chat, made.plan, made.rounds, "msg", notes=notes, prompt_tokens=7, seal=SEAL
    )
    return rounds, notes


def play(*scripts: Script, outcomes: Sequence[Outcome] = (), **fields: Any) -> Played:
    """Feed each script to a call, and ``outcomes`` to the tools that wait, as they wait."""
    rounds, notes = rounds_of(**fields)
    played, given = Played(), list(outcomes)
    for script in scripts:
        assert rounds.need is Need.CALL
        played.asked.append(msgspec.json.decode(msgspec.json.encode(rounds.chat)))
        try:
            for chunk in ChunkReader().feed(sse(*script)):
                played.events += rounds.feed(chunk)
            played.events += rounds.finish()
        except Fault as fault:
            if not rounds.retry(fault):
                played.events += rounds.fail(fault)
        while rounds.need is Need.TOOLS:
            played.waited += rounds.waiting
            now, given = given[: len(rounds.waiting)], given[len(rounds.waiting) :]
            played.events += rounds.results(now)
    assert rounds.need is Need.ENDED
    assert_lawful(encode_events(played.events))
    played.notes = [str(note) for note in notes.entries]
    return played
