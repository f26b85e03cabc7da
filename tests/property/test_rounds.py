"""Laws 1 and 2 of answers that take several calls of the upstream, over generated calls, whole and
cut: also where a call's end is what fails the answer, every block that was begun is closed.
"""

from random import Random
from typing import Any

from deepseek_messages.translation.answer.sse import ChunkReader, encode_events
from deepseek_messages.translation.dialects import DEEPSEEK, VLLM
from deepseek_messages.translation.faults import Fault
from deepseek_messages.translation.hosted.rounds import Need
from deepseek_messages.wire.events import StreamEvent
from tests.property.answers import stream
from tests.property.laws import assert_blocks_closed
from tests.support.generated import cases, maybe
from tests.support.rounds import rounds_of
from tests.support.sse import assert_lawful

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
FORMAT = {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}
FORCED = {"tools": [{"name": "f", "input_schema": SCHEMA}], "tool_choice": {"type": "any"}}

ASKED: list[dict[str, Any]] = [
    FORMAT,
    FORMAT | {"dialect": VLLM, "stream": True},  # shown as it comes
    FORMAT | FORCED,
    FORCED,
]


@cases(1000)
def test_whatever_ends_an_answer_its_blocks_are_closed(dice: Random) -> None:
    rounds, _ = rounds_of(**{"dialect": DEEPSEEK} | dice.choice(ASKED))
    events: list[StreamEvent] = []
    while rounds.need is Need.CALL:
        raw = stream(dice)
        if maybe(dice, 0.2):
            raw = raw[: dice.randrange(len(raw))]
        reader = ChunkReader()
        try:
            for chunk in reader.feed(raw):
                events += rounds.feed(chunk)
            for chunk in reader.end():
                events += rounds.feed(chunk)
            events += rounds.finish()
        except Fault as fault:
            if not rounds.retry(fault):
                events += rounds.fail(fault)
    assert_lawful(encode_events(events))
    assert_blocks_closed(events)
