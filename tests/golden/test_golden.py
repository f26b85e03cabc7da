"""A folder per conversation: what an upstream sent, and what our client gets for it.

    about.txt       one line: what is special here
    upstream.sse    the upstream's stream, or upstream.json, its whole answer
    plan.json       optional: fields of the reply plan, prompt_tokens
    events.sse      the events our client gets
    message.json    the same answer when it does not stream, or the error

``UPDATE_GOLDEN=1`` writes the last two anew; read them before you commit them.
"""

import functools
import json
from collections.abc import Iterable

import anthropic
import msgspec
import pytest

from deepseek_messages.translation.answer import sse
from deepseek_messages.translation.answer.response import fold
from deepseek_messages.translation.answer.sse import encode_events
from deepseek_messages.translation.answer.stream import MessageStream
from deepseek_messages.translation.faults import Fault
from deepseek_messages.translation.plan import ReplyPlan
from deepseek_messages.wire.chat import ChatChunk
from deepseek_messages.wire.errors import ErrorDetail, ErrorEnvelope
from deepseek_messages.wire.events import ErrorEvent, MessageStart, StreamEvent
from tests.support.answers import sdk_message
from tests.support.goldens import FOLDERS, Golden
from tests.support.sse import assert_lawful, blocks_of

WHOLE = [  # with neither an error nor arguments that the limit cut off
    folder
    for folder in FOLDERS
    if b'"error"' not in (message := (folder / "message.json").read_bytes())
    and b'"max_tokens"' not in message
]


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


def test_single_bytes_give_the_same_events(golden: Golden) -> None:
    raw = golden.upstream
    assert golden.events([raw[n : n + 1] for n in range(len(raw))]) == golden.events([raw])


def test_every_cut_gives_the_same_events(golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each two-way split. Events depend on the chunks that were read and on nothing else; so a
    chunk's JSON is decoded once for all splits, and what many splits have in common is
    translated once.
    """
    if not golden.streamed:
        return
    monkeypatch.setattr(sse, "decode_chunk", functools.cache(sse.decode_chunk))
    raw = golden.upstream
    expected = golden.events([raw])
    translated: list[Reading] = []
    for at in range(1, len(raw)):
        reading = read_chunks([raw[:at], raw[at:]])
        if reading not in translated:
            assert golden.events([raw[:at], raw[at:]]) == expected
            translated.append(reading)


Reading = tuple[list[ChatChunk], ErrorDetail | None]


def read_chunks(pieces: Iterable[bytes]) -> Reading:
    """What ``translate`` feeds to the stream, and how the reading failed, if it did."""
    reader, chunks = sse.ChunkReader(), list[ChatChunk]()
    try:
        for piece in pieces:
            chunks += reader.feed(piece)
        return chunks + reader.end(), None
    except Fault as fault:
        return chunks, fault.detail()


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
    assert len(FOLDERS) >= 120


@pytest.mark.parametrize("golden", WHOLE, ids=[folder.name for folder in WHOLE], indirect=True)
def test_blocks_add_up(golden: Golden) -> None:
    """An independent reader of our events finds the blocks of the folded message."""
    events = golden.events([golden.upstream])
    blocks = blocks_of(assert_lawful(encode_events(events)))
    assert blocks == json.loads((golden.folder / "message.json").read_text())["content"]
