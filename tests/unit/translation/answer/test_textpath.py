"""The text of an answer on its way through echo, tags, leaked calls and stop sequences."""

from typing import Any

import pytest

from deepseek_messages.translation.answer.dsml import FoundCall
from deepseek_messages.translation.answer.textpath import Reasoning, TextPath
from deepseek_messages.translation.plan import ReplyPlan

INVOKE = '<｜DSML｜invoke name="f">\n</｜DSML｜invoke>'
CALL = f"<｜DSML｜tool_calls>\n{INVOKE}\n</｜DSML｜tool_calls>"
TOOLS = frozenset({"f"})
FOUND = FoundCall("f", "{}")


def path(**fields: Any) -> TextPath:
    return TextPath(ReplyPlan(model="m", **fields))


ECHO = {"prefill": "Sure", "prefill_echoed": True}
STOPS = {"watch_stops": ("END",)}

# Settings, pieces of text, what each gives, what the end gives.
CASES: dict[str, tuple[dict[str, Any], list[str], list[list[Any]], list[Any]]] = {
    "plain": ({}, ["a", "b"], [["a"], ["b"]], []),
    "empty": ({}, ["a", ""], [["a"], []], []),
    "tags": (
        {},
        ["<think>x</thi", "nk>a", "<think>"],
        [[Reasoning("x")], ["a"], ["<think>"]],
        [],
    ),
    "tags that do not end": ({}, ["<think>x", "<"], [[Reasoning("x")], []], [Reasoning("<")]),
    "text that may begin a tag": ({}, ["<thi"], [[]], ["<thi"]),
    "inside reasoning from the start": (
        {"starts_thinking": True},
        ["x</think>a"],
        [[Reasoning("x"), "a"]],
        [],
    ),
    # --- the echo of a prefill ---
    "the echo is dropped": (ECHO, ["Sure", ", yes"], [[], [", yes"]], []),
    "the echo in pieces": (ECHO, ["Su", "re, y", "es"], [[], [", y"], ["es"]], []),
    "no echo": (ECHO, ["Yes", "Sure"], [["Yes"], ["Sure"]], []),
    "half an echo": (ECHO, ["Su", "ch"], [[], ["Such"]], []),
    "an echo that the end cuts off": (ECHO, ["Su"], [[]], ["Su"]),
    "the echo once only": (ECHO, ["SureSure", "Sure"], [["Sure"], ["Sure"]], []),
    "nothing but the echo": (ECHO, ["Sure"], [[]], []),
    "a prefill that is not repeated": ({"prefill": "Sure"}, ["Sure"], [["Sure"]], []),
    "behind a prefill tags are text": ({"prefill": "a"}, ["<think>x"], [["<think>x"]], []),
    # --- leaked calls ---
    "a call": ({"tools": TOOLS}, ["a", CALL], [["a"], [FOUND]], []),
    "a call that ends with the text": ({"tools": TOOLS}, [INVOKE[:-1]], [[]], [FOUND]),
    "text that may begin a call": ({"tools": TOOLS}, ["a <｜DS"], [["a "]], ["<｜DS"]),
    "text that may begin a tag or a call": ({"tools": TOOLS}, ["<thi"], [[]], ["<thi"]),
    "text before what may begin a call": ({"tools": TOOLS}, ["<th｜"], [["<th｜"]], []),
    # --- stop sequences ---
    "a stop": (STOPS, ["aEN", "Db", "c"], [["a"], [], []], []),
    "half a stop": (STOPS, ["aEN"], [["a"]], ["EN"]),
    "what the upstream was sent is looked for where it is not named": (
        {"stop_sequences": ("END",)},
        ["aENDb"],
        [["a"]],
        [],
    ),
    "what the upstream names is not looked for": (
        {"stop_sequences": ("END",), "reports_stop_string": True},
        ["aENDb"],
        [["aENDb"]],
        [],
    ),
    # --- calls and stops ---
    "text held for a stop comes before a call": (
        {"tools": TOOLS, **STOPS},
        ["aEN", CALL],
        [["a"], ["EN", FOUND]],
        [],
    ),
    "no call after a stop": (
        {"tools": TOOLS, **STOPS},
        [f"aEND{CALL}b"],
        [["a"]],
        [],
    ),
    "a call and then a stop": (
        {"tools": TOOLS, **STOPS},
        [f"{CALL}aENDb"],
        [[FOUND, "a"]],
        [],
    ),
    "a stop that only waited for a longer one ends the text before a call": (
        {"tools": TOOLS, "watch_stops": ("ab", "a")},
        ["xa", CALL],
        [["x"], []],
        [],
    ),
    "what leaked mark-up holds back may hold a stop": (
        {"tools": TOOLS, "watch_stops": ("<",)},
        ["a<｜DS"],
        [["a"]],
        [],
    ),
}


@pytest.mark.parametrize(("fields", "pieces", "given", "end"), CASES.values(), ids=CASES)
def test_text_becomes_its_pieces(
    fields: dict[str, Any], pieces: list[str], given: list[list[Any]], end: list[Any]
) -> None:
    found = path(**fields)
    assert [found.feed(piece) for piece in pieces] == given
    assert found.flush() == end
    assert found.flush() == []


BEGUN = '<｜DSML｜invoke name="f">\n<｜DSML｜parameter name="a" string="true">v'


@pytest.mark.parametrize(
    ("end", "call"),
    [
        ({}, FoundCall("f", '{"a": "v"}')),
        ({"truncated": True}, FoundCall("f", '{"a": "v', truncated=True)),
    ],
)
def test_a_call_that_the_limit_cut_off_is_known_as_cut_off(
    end: dict[str, bool], call: FoundCall
) -> None:
    found = path(tools=TOOLS)
    assert found.feed(BEGUN) == []
    assert found.flush(**end) == [call]


def test_an_echo_held_back_comes_before_a_stop_that_was() -> None:
    found = path(prefill="abE", prefill_echoed=True, **STOPS)
    assert found.feed("abE"[:2]) == []
    assert found.flush() == ["ab"]
    assert found.flush() == []


def test_an_echo_held_back_comes_before_what_else_was() -> None:
    found = path(tools=TOOLS, prefill="<｜DSML", prefill_echoed=True)
    assert found.feed("<｜") == []
    assert found.flush() == ["<｜"]


def test_tags_are_text_once_reasoning_came_by_itself() -> None:
    found = path()
    assert found.feed("<thi") == []
    assert found.skip_tags() == ["<thi"]
    assert found.skip_tags() == []
    assert found.feed("<think>x") == ["<think>x"]


def test_reasoning_that_tags_held_back_stays_reasoning() -> None:
    found = path()
    assert found.feed("<think>a</th") == [Reasoning("a")]
    assert found.skip_tags() == [Reasoning("</th")]


def test_a_stop_is_told() -> None:
    found = path(**STOPS)
    assert found.stopped is None
    found.feed("aEND")
    assert found.stopped == "END"
    assert path().stopped is None


class TestPasses:
    """``passes`` is true only where ``feed`` would return just the text."""

    @staticmethod
    def ready(**fields: Any) -> TextPath:
        found = path(**fields)
        found.feed("a")
        return found

    @pytest.mark.parametrize(
        ("fields", "text", "expected"),
        [
            ({}, "b", True),
            ({"tools": TOOLS}, "b", True),
            ({"tools": TOOLS}, "<", False),
            (STOPS, "b", True),
            (STOPS, "E", False),
            ({"tools": TOOLS, **STOPS}, "b", True),
            ({"tools": TOOLS, **STOPS}, "E", False),
            ({"tools": TOOLS, **STOPS}, "<", False),
        ],
    )
    def test_what_passes(self, fields: dict[str, Any], text: str, expected: bool) -> None:
        assert self.ready(**fields).passes(text) is expected
        assert self.ready(**fields).passes_each(["b", text]) is expected
        assert (self.ready(**fields).feed(text) == [text]) is expected

    def test_nothing_passes_before_the_tags_are_done_with(self) -> None:
        assert not path().passes("a")
        assert not path().passes_each(["a"])

    def test_nothing_passes_while_an_echo_may_come(self) -> None:
        found = path(**ECHO)
        assert not found.passes("Su")
        assert not found.passes_each(["Su"])
        found.feed("Sure")
        assert found.passes("a")
        assert found.passes_each(["a", "b"])

    def test_nothing_passes_while_text_is_held_back(self) -> None:
        found = self.ready(**STOPS)
        found.feed("E")
        assert not found.passes("b")
        assert not found.passes_each(["b"])
