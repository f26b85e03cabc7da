"""The checker of event streams finds each kind of unlawful stream."""

import copy
import json

import pytest

from tests.support.sse import assert_lawful, blocks_of, error_of, parse_events

START = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
        "usage": {"input_tokens": 1, "output_tokens": 0},
    },
}
END = {
    "type": "message_delta",
    "delta": {"stop_reason": "end_turn", "stop_sequence": None},
    "usage": {"output_tokens": 1},
}
STOP = {"type": "message_stop"}
PING = {"type": "ping"}
ERROR = {"type": "error", "error": {"type": "api_error", "message": "m"}}


def start(index=0, kind="text", **more):
    return {"type": "content_block_start", "index": index, "content_block": {"type": kind, **more}}


def delta(index=0, kind="text_delta", **more):
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **more}}


def stop(index=0):
    return {"type": "content_block_stop", "index": index}


TEXT = [start(text=""), delta(text="a"), stop()]


def encode(events):
    return b"".join(
        f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events
    )


@pytest.mark.parametrize(
    "events",
    [
        [START, END, STOP],
        [START, PING, *TEXT, PING, END, STOP],
        [START, *TEXT, start(1, "tool_use", input={}), delta(1, "input_json_delta",
         partial_json="{}"), stop(1), END, STOP],
        [START, start(0, "thinking", thinking=""), delta(0, "thinking_delta", thinking="x"),
         delta(0, "signature_delta", signature="s"), stop(0), END, STOP],
        [START, start(text=""), ERROR],
        [ERROR],
    ],
)  # fmt: skip
def test_lawful_streams_pass(events):
    assert assert_lawful(encode(events)) == events


@pytest.mark.parametrize(
    "events",
    [
        [],
        [*TEXT, END, STOP],
        [START, START, END, STOP],
        [START, *TEXT, STOP],
        [START, *TEXT, END],
        [START, END, STOP, PING],
        [START, END, STOP, STOP],
        [START, END, PING, STOP],
        [START, ERROR, STOP],
        [PING, START, END, STOP],
        [START, start(1, text=""), stop(1), END, STOP],
        [START, *TEXT, *TEXT, END, STOP],
        [START, start(text=""), start(1, text=""), stop(1), stop(0), END, STOP],
        [START, start(text=""), END, STOP],
        [START, delta(text="a"), END, STOP],
        [START, stop(), END, STOP],
        [START, start(text=""), delta(1, text="a"), stop(), END, STOP],
        [START, start(text=""), delta(kind="thinking_delta", thinking=""), stop(), END, STOP],
        [START, start(text=""), delta(kind="input_json_delta", partial_json=""), stop(), END, STOP],
        [START, *TEXT, {**END, "delta": {"stop_reason": None}}, STOP],
    ],
)
def test_unlawful_streams_fail(events):
    with pytest.raises(AssertionError):
        assert_lawful(encode(events))


@pytest.mark.parametrize(
    "raw",
    [
        b"event: ping\ndata: {}",
        b'data: {"type":"ping"}\n\n',
        b'event: pong\ndata: {"type":"ping"}\n\n',
        b'event: ping\ndata: {"type":"ping"}\nid: 1\n\n',
        b': comment\n\nevent: ping\ndata: {"type":"ping"}\n\n',
        b'event: ping\ndata: {"type":"ping","x":NaN}\n\n',
    ],
)
def test_malformed_frames_fail(raw):
    with pytest.raises(AssertionError):
        parse_events(raw)


def test_a_stream_that_is_still_running_may_stop_anywhere():
    assert_lawful(encode([START, TEXT[0]]), ended=False)


def test_message_start_must_be_empty():
    wrong = copy.deepcopy(START)
    wrong["message"]["content"] = [{"type": "text", "text": ""}]
    with pytest.raises(AssertionError):
        assert_lawful([wrong, END, STOP])


def test_blocks_are_what_the_deltas_add_up_to():
    events = [
        START,
        *TEXT,
        start(1, "tool_use", id="t", name="n", input={}),
        delta(1, "input_json_delta", partial_json='{"a"'),
        delta(1, "input_json_delta", partial_json=":1}"),
        stop(1),
    ]
    assert blocks_of(events) == [
        {"type": "text", "text": "a"},
        {"type": "tool_use", "id": "t", "name": "n", "input": {"a": 1}},
    ]


def test_error_of_finds_the_error():
    assert error_of([START, ERROR]) == ERROR["error"]
    assert error_of([START]) is None
