"""Leaked tool mark-up, in every spelling, cut at every place."""

import json

import pytest

from deepseek_messages.translation.answer import dsml
from deepseek_messages.translation.answer.dsml import DsmlRescue, FoundCall

TOOLS = frozenset({"f", "get_time"})


def markup(
    bar: str = "｜",
    wrapper: str = "tool_calls",
    space: str = "",
    name: str = "f",
    *,
    wrapped: bool = True,
) -> str:
    tag = f"{bar}DSML{bar}{space}"
    call = (
        f'<{tag}invoke name="{name}">\n'
        f'<{tag}parameter name="a" string="true">x < y 2>&1</{tag}parameter>\n'
        f'<{tag}parameter name="n" string="false">[1, {{"k": null}}]</{tag}parameter>\n'
        f"</{tag}invoke>"
    )
    return f"<{tag}{wrapper}>\n{call}\n</{tag}{wrapper}>" if wrapped else call


CALL = FoundCall("f", '{"a": "x < y 2>&1", "n": [1, {"k": null}]}')


def run(pieces: list[str], *, truncated: bool = False) -> list[str | FoundCall]:
    """What comes out, with texts that follow each other joined."""
    rescue = DsmlRescue(TOOLS)
    found: list[str | FoundCall] = []
    for piece in [
        *(p for text in pieces for p in rescue.feed(text)),
        *rescue.flush(truncated=truncated),
    ]:
        if found and isinstance(piece, str) and isinstance(found[-1], str):
            found[-1] += piece
        else:
            found.append(piece)
    return found


def everywhere(text: str, expected: list[str | FoundCall]) -> None:
    assert run([text]) == expected
    assert run(list(text)) == expected
    for n in range(1, len(text)):
        assert run([text[:n], text[n:]]) == expected


SPELLINGS = {
    "V3.2": markup(wrapper="function_calls"),
    "V4": markup(),
    "V4.1": markup(wrapper="calls", space=" "),
    "ASCII bars": markup(bar="|"),
    "doubled bars": markup(bar="｜｜"),
    "doubled ASCII bars": markup(bar="||"),
    "no wrapper": markup(wrapped=False),
    "no end of the wrapper": markup().rsplit("\n", 1)[0],
    "no end of the call": markup().rsplit("\n", 2)[0],
    "the wrapper's end cut off": markup()[:-8],
    "the call's end cut off": markup(wrapped=False)[:-4],
}


@pytest.mark.parametrize("text", SPELLINGS.values(), ids=SPELLINGS)
def test_tc_27_spelling(text: str) -> None:
    everywhere(text, [CALL])


def test_text_around_is_kept_without_the_line_breaks_of_the_encoding() -> None:
    everywhere(f"Let me see.\n\n{markup()}\n\nDone.\n", ["Let me see.", CALL, "Done.\n"])


def test_several_calls_in_one_wrapper() -> None:
    inner = markup(wrapped=False)
    text = f"<｜DSML｜tool_calls>\n{inner}\n{inner}\n</｜DSML｜tool_calls>"
    everywhere(text, [CALL, CALL])


def test_several_wrappers() -> None:
    everywhere(markup() + "\n" + markup(), [CALL, CALL])


def test_a_call_without_parameters() -> None:
    everywhere('<｜DSML｜invoke name="f">\n</｜DSML｜invoke>', [FoundCall("f", "{}")])


def test_arguments_as_json_in_the_call() -> None:
    everywhere('<｜DSML｜invoke name="f">{"a": 1}</｜DSML｜invoke>', [FoundCall("f", '{"a": 1}')])


@pytest.mark.parametrize(
    ("attribute", "value", "expected"),
    [
        ('string="true"', "12", '"12"'),
        ('string="true"', ' "q"\n', r'" \"q\"\n"'),
        ('string="true"', "你好", '"你好"'),
        ('string="false"', "12", "12"),
        ('string="false"', "not json", '"not json"'),
        ("", "12", "12"),
        ("", "text", '"text"'),
        ('string="true"', "", '""'),
    ],
)
def test_parameter(attribute: str, value: str, expected: str) -> None:
    text = (
        f'<｜DSML｜invoke name="f"><｜DSML｜parameter name="a" {attribute}>{value}'
        "</｜DSML｜parameter></｜DSML｜invoke>"
    )
    everywhere(text, [FoundCall("f", f'{{"a": {expected}}}')])


@pytest.mark.parametrize(
    "text",
    [
        "The mark-up is called DSML, with <｜DSML｜tool_calls> around it.",
        "<｜DSML｜tool_calls>\nand then nothing",
        "<｜DSML｜tool_calls>\n",
        "<｜DSML｜too",
        "a < b and <b>bold</b> || c",
        "<｜DSML｜unknown>",
        '<｜DSML｜invoke name="other_tool">\n</｜DSML｜invoke>',
        markup(name="other_tool"),
        '<｜DSML｜invoke name="$TOOL_NAME">',
        "</｜DSML｜invoke>",
        "line\n\n\n\n\nline <\n",
        "<|DSML" + "|" * 10,
        "<" * 50,
        "<｜DSML｜invoke " + "x" * 1000,
    ],
)
def test_text_about_it_is_untouched(text: str) -> None:
    everywhere(text, [text])


def test_text_that_is_no_mark_up_is_passed_on_at_once() -> None:
    rescue = DsmlRescue(TOOLS)
    assert rescue.passes("plain")
    assert rescue.feed("plain") == ["plain"]
    assert not rescue.passes("a <")
    assert rescue.feed("a <") == ["a "]
    assert not rescue.passes("plain")
    assert rescue.feed("b") == ["<b"]


@pytest.mark.parametrize("end", range(50, 130, 7))
def test_a_call_that_the_limit_cut_off_says_so(end: int) -> None:
    found = run([markup()[:end]], truncated=True)
    (call,) = found
    assert isinstance(call, FoundCall)
    assert call.truncated
    with pytest.raises(ValueError, match=r"."):
        json.loads(call.arguments)


def test_a_call_without_end_becomes_text_at_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dsml, "MAX_HELD", 1000)
    text = '<｜DSML｜invoke name="f">' + "x" * 2000
    found = run([text[n : n + 50] for n in range(0, len(text), 50)])
    assert all(isinstance(piece, str) for piece in found)
    assert "".join(map(str, found)).endswith("x" * 2000)


@pytest.mark.parametrize("text", ["a\n", "a\r", "", "\n"])
def test_text_that_may_end_before_mark_up_does_not_pass(text: str) -> None:
    assert not DsmlRescue(TOOLS).passes(text)
    assert DsmlRescue(TOOLS).passes(text + "X")


def test_text_behind_a_call_does_not_pass_until_it_began() -> None:
    rescue = DsmlRescue(TOOLS)
    assert rescue.feed(markup(wrapped=False)) == [CALL]
    assert not rescue.passes("x")
    assert rescue.feed("\n") == []
    assert rescue.feed("X\n") == ["X"]
    assert rescue.feed("y") == ["\ny"]
    assert rescue.passes("z")


def test_the_text_of_an_ended_answer_is_not_cut_off() -> None:
    rescue = DsmlRescue(TOOLS)
    rescue.feed(markup()[:60])
    (call,) = rescue.flush()
    assert isinstance(call, FoundCall)
    assert not call.truncated
    assert rescue.flush() == []
    assert rescue.feed("a") == ["a"]


BODIES = {
    "letters in a value that is cut off": (
        '<｜DSML｜parameter name="a" string="true">你好',
        {"truncated": True},
        FoundCall("f", '{"a": "你好', truncated=True),
    ),
    "a name that is no tag": ("{a", {"truncated": True}, FoundCall("f", "{", truncated=True)),
    "words before a parameter": (
        'so: <｜DSML｜parameter name="a">1</｜DSML｜parameter>',
        {},
        FoundCall("f", "{}"),
    ),
    "JSON that is no object": ("[1]", {}, FoundCall("f", "{}")),
    "a tag that is cut off": (
        '<｜DSML｜parameter name="a" string="true">x </｜DS',
        {},
        FoundCall("f", '{"a": "x"}'),
    ),
}


@pytest.mark.parametrize(("body", "end", "call"), BODIES.values(), ids=BODIES)
def test_the_inside_of_a_call_that_does_not_end(
    body: str, end: dict[str, bool], call: FoundCall
) -> None:
    assert run([f'<｜DSML｜invoke name="f">{body}'], **end) == [call]


def test_mark_up_behind_other_mark_up_is_found() -> None:
    everywhere(f"<<｜DSML｜x> {markup()}", ["<<｜DSML｜x> ", CALL])
    everywhere(f"<{markup()}", ["<", CALL])
    other = markup(name="other_tool")
    everywhere(other + markup(), [other, CALL])
    everywhere("<｜DSML｜tool_calls> " + markup(wrapped=False), [CALL])


def test_words_in_a_wrapper_end_it() -> None:
    call = markup(wrapped=False)
    text = f"<｜DSML｜tool_calls>\n{call}\nand so on"
    everywhere(text, [CALL, "and so on"])
    other = markup(name="other_tool", wrapped=False)
    everywhere(f"<｜DSML｜tool_calls>\n{call}\n{other}", [CALL, other])


def test_a_call_as_long_as_may_be_held_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    inside = markup(wrapped=False).partition(">")[2]
    monkeypatch.setattr(dsml, "MAX_HELD", len(inside) - 1)
    assert run(list(markup(wrapped=False))) == [CALL]
    monkeypatch.setattr(dsml, "MAX_HELD", len(inside) - 2)
    assert all(isinstance(piece, str) for piece in run(list(markup(wrapped=False))))


@pytest.mark.parametrize(
    "parameter", ["", '<｜DSML｜parameter name="a">'], ids=["call", "parameter"]
)
@pytest.mark.parametrize("size", [1_000, 300_000])
def test_a_call_of_blanks_that_never_ends_takes_no_time(parameter: str, size: int) -> None:
    text = f'<｜DSML｜invoke name="f">{parameter}' + " " * 300_000 + "x"
    (found,) = run([text[at : at + size] for at in range(0, len(text), size)])
    assert isinstance(found, FoundCall)


@pytest.mark.parametrize("blanks", ["", "  ", "\n\n", " " * 600])
def test_blanks_before_the_end_of_a_call_are_none_of_it(blanks: str) -> None:
    cut = f'<｜DSML｜invoke name="f"><｜DSML｜parameter name="a">x{blanks}</｜DSML｜invoke>'
    everywhere(cut, [FoundCall("f", '{"a": "x"}')])
