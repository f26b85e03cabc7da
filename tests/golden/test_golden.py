"""A folder per conversation: what an upstream sent, and what our client gets for it.

    about.txt       one line: what is special here
    upstream.sse    the upstream's stream, or upstream.json, its whole answer
    plan.json       optional: fields of the reply plan, prompt_tokens
    events.sse      the events our client gets
    message.json    the same answer when it does not stream, or the error

``UPDATE_GOLDEN=1`` writes the last two anew; read them before you commit them.
"""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import anthropic
import msgspec
import pytest

from deepseek_messages.translation.faults import Fault
from deepseek_messages.translation.plan import ReplyPlan
from deepseek_messages.translation.reply import reply_stream
from deepseek_messages.translation.response import chunks_of, decode_answer, fold
from deepseek_messages.translation.sse import encode_events
from deepseek_messages.translation.stream import MessageStream
from deepseek_messages.wire.errors import ErrorEnvelope
from deepseek_messages.wire.events import ErrorEvent, MessageStart, StreamEvent
from tests.support.answers import FakeSeal, cuts, sdk_message, translate
from tests.support.sse import assert_lawful, blocks_of

HERE = Path(__file__).parent
FOLDERS = sorted(path.parent for path in HERE.glob("*/about.txt"))
WHOLE = [  # with neither an error nor arguments that the limit cut off
    folder
    for folder in FOLDERS
    if b'"error"' not in (message := (folder / "message.json").read_bytes())
    and b'"max_tokens"' not in message
]


class Golden:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / "plan.json"
        given: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        self.prompt_tokens: int | None = given.pop("prompt_tokens", 20)
        self.plan = msgspec.convert({"model": "deepseek-chat", **given}, ReplyPlan)
        self.streamed = (folder / "upstream.sse").exists()
        name = "upstream.sse" if self.streamed else "upstream.json"
        self.upstream = (folder / name).read_bytes()

    def events(self, pieces: Iterable[bytes]) -> list[StreamEvent]:
        if self.streamed:
            return translate(pieces, self.plan, prompt_tokens=self.prompt_tokens, seal=FakeSeal())
        return self._whole(b"".join(pieces))

    def _whole(self, body: bytes) -> list[StreamEvent]:
        stream = reply_stream(
            self.plan, "msg_test", prompt_tokens=self.prompt_tokens, seal=FakeSeal()
        )
        events: list[StreamEvent] = []
        try:
            for chunk in chunks_of(decode_answer(body)):
                events += stream.feed(chunk)
            return events + stream.finish()
        except Fault as fault:
            return events + stream.fail(fault)

    def cuts(self) -> Iterable[Sequence[bytes]]:
        return cuts(self.upstream) if self.streamed else ()

    def expect(self, name: str, found: bytes) -> None:
        path = self.folder / name
        if os.environ.get("UPDATE_GOLDEN"):
            path.write_bytes(found)
        assert path.read_bytes().decode() == found.decode()


@pytest.fixture(params=FOLDERS, ids=[folder.name for folder in FOLDERS])
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(request.param)


def test_events(golden: Golden) -> None:
    events = golden.events([golden.upstream])
    assert_lawful(encode_events(events))
    golden.expect("events.sse", encode_events(events))


def test_message(golden: Golden) -> None:
    try:
        message = msgspec.json.encode(fold(golden.events([golden.upstream])))
    except Fault as fault:
        message = msgspec.json.encode(ErrorEnvelope(error=fault.detail(), request_id=None))
    golden.expect("message.json", msgspec.json.format(message, indent=2) + b"\n")


def test_every_cut_gives_the_same_events(golden: Golden) -> None:
    events = golden.events([golden.upstream])
    for pieces in golden.cuts():
        assert golden.events(pieces) == events


def test_the_official_sdk_reads_the_same_message(golden: Golden) -> None:
    events = golden.events([golden.upstream])
    if isinstance(events[-1], ErrorEvent):
        with pytest.raises(anthropic.APIError) as raised:
            sdk_message(message_start_first(events))
        assert events[-1].error.message in str(raised.value.body)
    else:
        beta = golden.plan.compaction or golden.plan.applied_edits is not None
        read = sdk_message(encode_events(events), beta=beta).to_dict()
        read.pop("stop_details", None)
        assert read == json.loads(msgspec.json.encode(fold(events)))


def message_start_first(events: list[StreamEvent]) -> bytes:
    """An error before anything else is an HTTP error; here it is sent after the start."""
    if isinstance(events[0], MessageStart):
        return encode_events(events)
    plan = ReplyPlan(model="deepseek-chat")
    start = MessageStream(plan, "msg_test", prompt_tokens=20, seal=None).start()
    return encode_events([*start, *events])


def test_there_are_enough() -> None:
    assert len(FOLDERS) >= 25


@pytest.mark.parametrize("golden", WHOLE, ids=[folder.name for folder in WHOLE], indirect=True)
def test_blocks_add_up(golden: Golden) -> None:
    """An independent reader of our events finds the blocks of the folded message."""
    events = golden.events([golden.upstream])
    blocks = blocks_of(assert_lawful(encode_events(events)))
    assert blocks == json.loads((golden.folder / "message.json").read_text())["content"]
