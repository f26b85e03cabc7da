"""What is remembered of a list of tools changes nothing about what it comes to."""

from random import Random
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from deepseek_messages.translation.dialects import DEEPSEEK, SGLANG, Dialect
from deepseek_messages.translation.hosted.server_tools import NOTHING_HOSTED, Hosted, McpTool
from deepseek_messages.translation.notes import Notes
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.tools import offer
from deepseek_messages.translation.tools.offer import Memo, Offer, offer_of
from deepseek_messages.wire.tools import Tool
from tests.property.conversations import NAMES, SCHEMAS
from tests.support.generated import cases, maybe, several, some

BROKEN = {"type": "object", "properties": {"a": {"type": "text"}}}
ODD_NAMES = [*NAMES, "my.tool", "é", "later"]
KINDS = ["web_search_20250305", "bash_20250124", "mcp_toolset", "code_execution_20250522"]


@pytest.fixture(autouse=True)
def empty_memo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offer, "_memo", Memo(most=128, most_bytes=1_000_000))


def decoded(tools: Any) -> list[Tool]:
    return msgspec.json.decode(msgspec.json.encode(tools), type=list[Tool])


def told(
    tools: Any,
    dialect: Dialect = DEEPSEEK,
    hosted: Hosted = NOTHING_HOSTED,
    *,
    strict: bool = False,
) -> tuple[Any, list[str]]:
    """The offer (or the refusal) and the notes, as values that can be compared."""
    notes = Notes(strict=strict)
    try:
        found: Offer | str = offer_of(decoded(tools), dialect, hosted, notes)
    except Refusal as refusal:
        found = str(refusal)
    return found, [str(note) for note in notes.entries]


def some_tool(dice: Random) -> dict[str, Any]:
    if maybe(dice, 0.2):
        return {"type": dice.choice(KINDS), "name": "t", "mcp_server_name": "there"}
    tool: dict[str, Any] = {"name": dice.choice(ODD_NAMES)}
    tool["input_schema"] = dice.choice([*SCHEMAS, BROKEN])
    more = {
        "description": dice.choice(["d", "é"]),
        "strict": True,
        "defer_loading": True,
        "input_examples": [{"a": 1}],
        "cache_control": {"type": "ephemeral"},
    }
    return tool | {name: more[name] for name in some(dice, list(more), 0, 2)}


@cases(500)
def test_what_is_remembered_is_what_would_be_found(dice: Random) -> None:
    circumstances = [
        (several(dice, some_tool, 0, 3), dice.choice([DEEPSEEK, SGLANG]), hosted, maybe(dice, 0.2))
        for hosted in (NOTHING_HOSTED, Hosted(web_search=True), NOTHING_HOSTED)
    ]
    first = []
    for tools, dialect, hosted, strict in circumstances:
        offer._memo = Memo(most=128, most_bytes=1_000_000)
        first.append(told(tools, dialect, hosted, strict=strict))

    for _ in range(2):
        again = [told(t, dialect, hosted, strict=s) for t, dialect, hosted, s in circumstances]
        assert again == first


def test_an_equal_list_is_found_and_a_body_is_not_held() -> None:
    tools = [{"name": "a", "description": "d" * 100, "input_schema": BROKEN}]
    given = decoded(tools)
    found = offer_of(given, DEEPSEEK, NOTHING_HOSTED, Notes())

    assert offer_of(decoded(tools), DEEPSEEK, NOTHING_HOSTED, Notes()) is found
    (kept,) = offer._memo.entries()
    assert kept == given
    assert kept[0] is not given[0]


def test_tools_of_other_servers_are_asked_for_each_time() -> None:
    def hosted(description: str) -> Hosted:
        tool = McpTool(
            server="s", name="go", description=description, schema=Raw(b'{"type":"object"}')
        )
        return Hosted(mcp_servers=frozenset({"s"}), mcp_tools=(tool,))

    for description in ("one", "two"):
        found, _ = told([], DEEPSEEK, hosted(description))
        assert found.functions[0].function.description == description
    assert not offer._memo.entries()


def test_the_memo_is_bounded() -> None:
    memo = Memo(most=8, most_bytes=10_000)
    offer._memo = memo
    for number in range(50):
        told([{"name": f"t{number}", "description": "d" * (number % 7) * 500}])
        assert len(memo.entries()) <= 8
        assert memo.size() <= 10_000
    told([{"name": "large", "description": "d" * 10_000}])
    assert all(tools[0].name != "large" for tools in memo.entries())
    assert offer_of([Tool(name="\ud800")], DEEPSEEK, NOTHING_HOSTED, Notes()).functions
