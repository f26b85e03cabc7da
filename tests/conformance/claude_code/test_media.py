"""Images and documents that Claude Code reads, on models that see and on models that do not."""

import struct
import zlib
from pathlib import Path

import pytest

from deepseek_messages.upstreams.double import Text
from tests.conformance.claude_code.stage import BASH, Stage, call, messages, said, succeeded

SEEING, TEXT_ONLY = "deepseek-flash", "deepseek-v4-pro"


def png(width: int = 64, height: int = 64) -> bytes:
    """A red picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = (b"\0" + b"\xff\0\0" * width) * height
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def pdf(text: str) -> bytes:
    """One page with a line of text."""
    drawn = f"BT /F1 24 Tf 72 720 Td ({text}) Tj ET".encode()
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        (
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R"
            b"/Resources<</Font<</F1 5 0 R>>>>>>"
        ),
        b"<</Length %d>>stream\n%s\nendstream" % (len(drawn), drawn),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    body, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += b"%d 0 obj%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    tail = b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (size, len(body))
    return body + b"xref\n0 %d\n0000000000 65535 f \n" % size + table + tail


def parts(message: dict[str, object]) -> list[str]:
    content = message["content"]
    return [part["type"] for part in content] if isinstance(content, list) else ["text"]


@pytest.mark.parametrize("model", [SEEING, TEXT_ONLY])
def test_image_read_by_a_tool(stage: Stage, tmp_path: Path, model: str) -> None:
    user = stage.user(tmp_path, model=model)
    (user.work / "red.png").write_bytes(png())
    stage.double.expect(call("Read", file_path=str(user.work / "red.png")), Text("I looked."))
    turn = succeeded(user.turn("What is in red.png?", *BASH))
    assert turn.text == "I looked."
    sent = stage.sent(1)
    assert sent["model"] == model
    shown = [kind for message in sent["messages"] for kind in parts(message)]
    if model == SEEING:
        assert "image_url" in shown
    else:
        assert set(shown) == {"text"}
        (result,) = messages(sent, "tool")
        assert "image" in said(result).lower()


@pytest.mark.parametrize("model", [SEEING, TEXT_ONLY])
def test_document_read_by_a_tool(stage: Stage, tmp_path: Path, model: str) -> None:
    user = stage.user(tmp_path, model=model)
    (user.work / "note.pdf").write_bytes(pdf("The password is heron"))
    stage.double.expect(call("Read", file_path=str(user.work / "note.pdf")), Text("I read it."))
    turn = succeeded(user.turn("What is in note.pdf?", *BASH))
    assert turn.text == "I read it."
    last = "\n".join(said(message) for message in stage.sent(1)["messages"][2:])
    assert "document" in last, "the model must learn that there is one"
    assert "JVBERi0" not in stage.double.requests[1].prompt, "a file's bytes are no prompt"


def test_pages_of_a_document_reach_the_model(stage: Stage, tmp_path: Path) -> None:
    user = stage.user(tmp_path)
    (user.work / "note.pdf").write_bytes(pdf("The password is heron"))
    stage.double.expect(call("Read", file_path=str(user.work / "note.pdf")), Text("Heron."))
    succeeded(user.turn("What is the password?", *BASH))
    assert "The password is heron" in stage.double.requests[1].prompt


def test_a_document_that_cannot_be_read_is_taken_out_and_the_turn_goes_on(
    stage: Stage, tmp_path: Path
) -> None:
    user = stage.user(tmp_path)
    (user.work / "note.pdf").write_bytes(pdf("x")[:200] + b"\n%%EOF")
    stage.double.expect(call("Read", file_path=str(user.work / "note.pdf")), Text("I cannot."))
    turn = succeeded(user.turn("What is in note.pdf?", *BASH))
    assert turn.text == "I cannot."
    assert "PDF" in stage.double.requests[1].prompt, "the model is told what happened"
