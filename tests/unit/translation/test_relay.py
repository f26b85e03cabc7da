"""What passes bytes on, and what it leaves to others."""

import pytest

from deepseek_messages.translation.chat_json import decode_chunk
from deepseek_messages.translation.relay import Relay
from deepseek_messages.translation.runs import Pattern, pattern_of
from deepseek_messages.translation.sse import relay

HEAD, TAIL = b'data: {"choices":[{"index":0,"delta":{"content":"', b'"}}]}\n\n'
OURS = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":3,'
    b'"delta":{"type":"text_delta","text":"%b"}}\n\n'
)


def frame(text: bytes) -> bytes:
    return HEAD + text + TAIL


def pattern() -> Pattern:
    first = frame(b"x")
    found = pattern_of(first, decode_chunk(first[6:-2]))
    assert found is not None
    return found


def made(*, guarded: bool = False, room: int = 1000) -> Relay:
    return relay(pattern(), 3, guarded=guarded, room=room)


@pytest.mark.parametrize(
    ("texts", "shown"),
    [
        ([b"a"], [b"a"]),
        ([b"a", b"b c", b"d"], [b"a", b"b c", b"d"]),
        ([rb"say \"hi\"\n"], [rb"say \"hi\"\n"]),
        (["你好 🐋".encode()], ["你好 🐋".encode()]),
        (["one\u2028two\x85".encode()], [b"one\\u2028two\\u0085"]),
    ],
)
def test_frames_become_ours_with_the_same_text(texts: list[bytes], shown: list[bytes]) -> None:
    assert made().take(b"".join(map(frame, texts))) == b"".join(OURS % text for text in shown)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(frame(b""), id="no text"),
        pytest.param(frame(b"a") + frame(b""), id="one without text"),
        pytest.param(frame(b"a")[:-1], id="not whole"),
        pytest.param(frame(b"a") + frame(b"b")[:9], id="the next begun"),
        pytest.param(b" " + frame(b"a"), id="something before"),
        pytest.param(frame(b"a") + b"data: [DONE]\n\n", id="the end"),
        pytest.param(frame(b"a\nb"), id="a line end inside"),
        pytest.param(frame(b"a") + b"x\n\n" + frame(b"b"), id="another line between"),
        pytest.param(frame(b"a") + b"\n" + frame(b"b"), id="an empty line between"),
        pytest.param(frame(rb"\u0041"), id="spelled otherwise"),
        pytest.param(frame(b'a","role":"user'), id="more fields"),
        pytest.param(frame(b"a").replace(b"\n\n", b"\r\n\r\n"), id="other line ends"),
    ],
)
def test_anything_else_is_left_alone(data: bytes) -> None:
    one = made()
    assert one.take(data) is None
    assert one.texts() == []


@pytest.mark.parametrize("text", [b"a<b", rb"end\n", rb"end\r", b"<"])
def test_where_calls_may_leak_doubtful_text_is_left_alone(text: bytes) -> None:
    assert made(guarded=True).take(frame(b"a") + frame(text)) is None
    assert made(guarded=False).take(frame(text)) is not None


def test_texts_are_told_once() -> None:
    one = made()
    one.take(frame(b"a") + frame(rb"\"b\""))
    one.take(frame("é".encode()))
    assert one.texts() == ["a", '"b"', "é"]
    assert one.texts() == []


def test_there_is_an_end_to_what_is_passed_on() -> None:
    one = made(room=5)
    assert one.take(frame(b"abc")) is not None
    assert one.take(frame(b"def")) is None
    assert one.take(frame(b"de")) is not None
