"""Marks become citations, whatever way the text is cut; none leaks."""

import json
import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_messages.translation.answer.reply import reply_stream
from deepseek_messages.translation.answer.response import fold
from deepseek_messages.translation.answer.sse import encode_events
from deepseek_messages.translation.citing.citations import MAX_CITED_CHARS, CitationStage
from deepseek_messages.translation.citing.sources import Passage, Source
from deepseek_messages.translation.plan import ReplyPlan
from deepseek_messages.wire.chat import ChatChunk, ChatDelta, ChunkChoice
from deepseek_messages.wire.content import OutputTextBlock
from deepseek_messages.wire.events import (
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    StreamEvent,
    TextDelta,
    TextStart,
)
from tests.support.answers import call, delta, sdk_message, sse, translate
from tests.support.sse import assert_lawful

TEXT = "Grass is green. The sky is blue. Water is wet."
SPANS = ((0, 15), (16, 32), (33, 46))
SOURCES = (
    Source(
        kind="text",
        index=0,
        title="Facts",
        first=1,
        passages=[Passage(TEXT[a:b], start=a, end=b) for a, b in SPANS],
        text=TEXT,
    ),
    Source(
        kind="blocks",
        index=1,
        title=None,
        first=4,
        passages=[Passage(text, n) for n, text in enumerate(("one", "two"))],
    ),
)
PLAN = ReplyPlan(model="m", sources=SOURCES)

Block = tuple[str, list[str]]  # text, cited texts


def pieces(text: str, *at: int) -> list[str]:
    edges = [0, *sorted(set(at)), len(text)]
    return [text[a:b] for a, b in pairwise(edges)]


def events_of(*texts: str) -> list[StreamEvent]:
    stage = CitationStage(SOURCES)
    events = stage.take([ContentBlockStart(index=0, content_block=TextStart())])
    for text in texts:
        events += stage.take([ContentBlockDelta(index=0, delta=TextDelta(text=text))])
    return events + stage.take([ContentBlockStop(index=0)])


def blocks_of(*texts: str) -> list[Block]:
    found: list[Block] = []
    for event in events_of(*texts):
        if isinstance(event, ContentBlockStart):
            found.append(("", []))
        elif isinstance(event, ContentBlockDelta) and isinstance(event.delta, TextDelta):
            found[-1] = (found[-1][0] + event.delta.text, found[-1][1])
        elif isinstance(event, ContentBlockDelta):
            found[-1][1].append(json.loads(bytes(event.delta.citation))["cited_text"])  # type: ignore[union-attr]
    return found


GREEN, BLUE, WET = (TEXT[a:b] for a, b in SPANS)

CASES: list[tuple[str, list[Block]]] = [
    ("No marks here. None at all.", [("No marks here. None at all.", [])]),
    ("It is green [citation:1].", [("It is green.", [GREEN])]),
    ("It is green.[citation:1]", [("It is green.", [GREEN])]),
    ("It is green. [citation:1] And more.", [("It is green.", [GREEN]), (" And more.", [])]),
    (
        "First of all. It is green [citation:1]. Then it is blue [citation:2].",
        [("First of all. ", []), ("It is green.", [GREEN]), (" Then it is blue.", [BLUE])],
    ),
    ("Both [citation:1][citation:3].", [("Both.", [GREEN, WET])]),
    ("Both [citation:1] [citation:4].", [("Both.", [GREEN, "one"])]),
    ("Both [citation:1, 3].", [("Both.", [GREEN, WET])]),
    ("All [citation:1-3].", [("All.", [TEXT])]),
    ("Pair [citation:4-5].", [("Pair.", ["onetwo"])]),
    ("Wide [citation:2-99].", [("Wide.", [TEXT[16:], "onetwo"])]),
    ("Other forms 【citation:1】。", [("Other forms。", [GREEN])]),
    ("Other forms [Citation: 1]!", [("Other forms!", [GREEN])]),
    ("Other forms [passage 2].", [("Other forms.", [BLUE])]),
    ("Made up [citation:77]. End.", [("Made up. End.", [])]),
    ("Twice [citation:1,1].", [("Twice.", [GREEN])]),
    ("[citation:1]", []),
    ("[citation:1] Text.", [(" Text.", [])]),
    ("A list:\n\n- green [citation:1]\n- blue [citation:2]\n", [
        ("A list:\n\n", []), ("- green", [GREEN]), ("\n- blue", [BLUE])
    ]),
    ("Code a[0] and [cit] and [citation:] and [citation:x].", [
        ("Code a[0] and [cit] and [citation:] and [citation:x].", [])
    ]),
    ("Tab\t[citation:1]\t.", [("Tab", [GREEN]), ("\t.", [])]),
    ("Over. [citation:1].", [("Over.", [GREEN]), (".", [])]),
    ("  \n [citation:1] Text", [("  \n  Text", [])]),
    (" \n - green [citation:1]", [(" \n - green", [GREEN])]),
    ("Apart [citation:1]     [citation:2]", [("Apart", [GREEN])]),
    ("Unfinished [citation:1", [("Unfinished [citation:1", [])]),
    ("Half [citation:1][citation:", [("Half", [GREEN]), ("[citation:", [])]),
    ("Long [citation:" + "1," * 120 + "1]", [("Long [citation:" + "1," * 120 + "1]", [])]),
    ("绿色的草[citation:1]。天空是蓝的。", [("绿色的草。", [GREEN]), ("天空是蓝的。", [])]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[case[0][:40] for case in CASES])
def test_marks(text: str, expected: list[Block]) -> None:
    assert blocks_of(text) == expected


@pytest.mark.parametrize("text", [case[0] for case in CASES], ids=[c[0][:40] for c in CASES])
def test_marks_cut_anywhere(text: str) -> None:
    whole = blocks_of(text)
    assert blocks_of(*text) == whole
    for at in range(1, len(text)):
        assert blocks_of(*pieces(text, at)) == whole, at


ALPHABET = ["word", " ", ". ", "\n\n", "[citation:1]", "[citation:9]", "[citation:", "[", "]",
            "x" * 300, "。", ".", " [citation:2-3]", "    ", "1", ",", "[passage 4]"]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(ALPHABET), max_size=25), st.data())
def test_the_same_however_it_is_cut(words: list[str], data: st.DataObject) -> None:
    text = "".join(words)
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=8))
    whole = blocks_of(text)
    assert blocks_of(*pieces(text, *cuts)) == whole
    assert blocks_of(*text) == whole


WHOLE_MARK = re.compile(r"\[(citation:|passage )[0-9]+(-[0-9]+)?\]")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(ALPHABET), max_size=25))
def test_nothing_but_marks_and_blanks_is_taken_out(words: list[str]) -> None:
    text = "".join(words)
    shown = "".join(block for block, _ in blocks_of(text))
    assert not WHOLE_MARK.search(shown)
    assert "".join(shown.split()) == "".join(WHOLE_MARK.sub("", text).split())


def test_a_cited_sentence_is_held_no_longer_than_its_end() -> None:
    stage = CitationStage(SOURCES)
    stage.take([ContentBlockStart(index=0, content_block=TextStart())])

    def shown(text: str) -> str:
        events = stage.take([ContentBlockDelta(index=0, delta=TextDelta(text=text))])
        deltas = [e.delta for e in events if isinstance(e, ContentBlockDelta)]
        return "".join(d.text for d in deltas if isinstance(d, TextDelta))

    assert shown("It is green.") == ""
    assert shown(" The") == "It is green."
    assert shown("x" * 3000) != ""


def test_quotes_have_an_end() -> None:
    size = MAX_CITED_CHARS // 3
    long = Source(kind="blocks", index=0, title=None, first=1, passages=[Passage("x" * size)])
    stage = CitationStage((long,))
    events = stage.take([ContentBlockStart(index=0, content_block=TextStart())])
    text = "Again [citation:1]. " * 5
    events += stage.take([ContentBlockDelta(index=0, delta=TextDelta(text=text))])
    events += stage.take([ContentBlockStop(index=0)])
    cited = [e for e in events if isinstance(e, ContentBlockDelta) and hasattr(e.delta, "citation")]
    assert len(cited) == 3
    assert len(encode_events(events)) < 2 * MAX_CITED_CHARS


# --- behind the stream of an answer ---------------------------------------------------------------

MIXED = sse(
    delta(reasoning_content="Let me see [citation:1]."),
    delta(content="Intro here. It is gr"),
    delta(content="een [cita"),
    delta(content="tion:1]. Done"),
    delta(tool_calls=[call(0, "c1", "f", "{}")]),
    delta("tool_calls"),
)


def answer(raw: bytes, plan: ReplyPlan = PLAN) -> list[StreamEvent]:
    return translate([raw], plan)


def test_blocks_around_keep_their_order_and_count_on() -> None:
    events = assert_lawful(encode_events(answer(MIXED)))
    starts = [e["content_block"]["type"] for e in events if e["type"] == "content_block_start"]
    assert starts == ["thinking", "text", "text", "text", "tool_use"]


def test_the_official_sdk_reads_the_same_message() -> None:
    events = answer(MIXED)
    folded = fold(events)
    read = sdk_message(encode_events(events))
    texts = [block for block in folded.content if isinstance(block, OutputTextBlock)]
    sdk_texts = [block for block in read.content if block.type == "text"]
    assert [b.text for b in sdk_texts] == [b.text for b in texts]
    assert [len(b.citations or []) for b in sdk_texts] == [0, 1, 0]
    (citation,) = sdk_texts[1].citations or []
    assert citation.type == "char_location"
    assert citation.cited_text == TEXT[citation.start_char_index : citation.end_char_index]


def test_a_broken_answer_closes_what_it_held() -> None:
    events = assert_lawful(encode_events(answer(sse(delta(content="It is [cit"), done=False))))
    assert [e["type"] for e in events][-2:] == ["content_block_stop", "error"]
    assert "It is [cit" in str(events)


def test_only_answers_with_sources_pay_for_it() -> None:
    plain = reply_stream(ReplyPlan(model="m"), "msg_1", prompt_tokens=1, seal=None)
    chunk = ChatChunk(choices=[ChunkChoice(index=0, delta=ChatDelta(content="Hi [citation:1]"))])
    assert "[citation:1]" in str(plain.feed(chunk))
    cited = reply_stream(PLAN, "msg_1", prompt_tokens=1, seal=None)
    assert "[citation:1]" not in str(cited.feed(chunk))
