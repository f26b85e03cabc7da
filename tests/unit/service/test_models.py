import asyncio
import json
from collections.abc import Sequence

import msgspec
import pytest
from anthropic.types import ModelInfo as SdkModelInfo
from msgspec.structs import replace

from deepseek_messages.service.models import (
    ModelDirectory,
    PageQuery,
    cut_page,
    model_info,
    names,
    parse_page_query,
)
from deepseek_messages.translation.catalogue import FLASH, PRO, REASONER, Model
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.wire.models import ModelPage

SERVED = [FLASH, PRO]


class Listing:
    """An upstream that only lists."""

    def __init__(self, models: Sequence[Model]) -> None:
        self._models = models

    async def models(self) -> Sequence[Model]:
        return self._models


def directory(**aliases: str) -> ModelDirectory:
    return ModelDirectory(Listing(SERVED), aliases)  # type: ignore[arg-type]


def page(*, for_claude_code: bool = False, **query: object) -> ModelPage:
    asked = PageQuery(**query)  # type: ignore[arg-type]
    return asyncio.run(directory().page(asked, for_claude_code=for_claude_code))


def ids(found: ModelPage) -> list[str]:
    return [model.id for model in found.data]


EVERYTHING = ["deepseek-flash", "deepseek-v4-pro", "deepseek-chat", "deepseek-reasoner"]


def test_list_has_the_served_models_and_the_old_names() -> None:
    whole = page()
    assert ids(whole) == EVERYTHING
    assert (whole.first_id, whole.last_id) == (EVERYTHING[0], EVERYTHING[-1])
    assert not whole.has_more


def test_list_has_the_users_names_but_not_their_patterns() -> None:
    listed = names(SERVED, {"fast": "deepseek-flash", "big*": "deepseek-v4-pro"})
    assert [model.id for model in listed] == [*EVERYTHING[:2], "fast", *EVERYTHING[2:]]


def test_list_leaves_out_a_users_name_for_nothing() -> None:
    assert "fast" not in [model.id for model in names(SERVED, {"fast": "gone"})]


def test_claude_code_is_shown_names_it_takes() -> None:
    shown = page(for_claude_code=True)
    assert ids(shown) == [*EVERYTHING, "claude-deepseek-flash", "claude-deepseek-v4-pro"]
    assert shown.data[-1].display_name == PRO.display_name


def test_old_name_says_what_is_behind_it() -> None:
    chat = page().data[2]
    assert chat.display_name == "deepseek-chat (deepseek-flash)"
    assert chat.max_input_tokens == FLASH.context_window


def test_retired_models_are_listed_only_when_asked_for() -> None:
    retired = replace(REASONER, lifecycle="retired")
    models = ModelDirectory(Listing([FLASH, retired]))  # type: ignore[arg-type]
    shown = asyncio.run(models.page(PageQuery()))
    assert "deepseek-reasoner" not in ids(shown)
    asked = parse_page_query([("lifecycle", "retired")])
    assert ids(asyncio.run(models.page(asked))) == ["deepseek-reasoner"]


# --- pages ----------------------------------------------------------------------------------------

FIVE = [replace(FLASH, id=str(number)) for number in range(5)]


@pytest.mark.parametrize(
    ("query", "shown", "more"),
    [
        (PageQuery(), "01234", False),
        (PageQuery(limit=5), "01234", False),
        (PageQuery(limit=2), "01", True),
        (PageQuery(limit=2, after_id="1"), "23", True),
        (PageQuery(limit=2, after_id="3"), "4", False),
        (PageQuery(after_id="4"), "", False),
        (PageQuery(limit=2, before_id="3"), "12", True),
        (PageQuery(limit=2, before_id="2"), "01", False),
        (PageQuery(before_id="0"), "", False),
    ],
)
def test_page(query: PageQuery, shown: str, more: bool) -> None:
    cut = cut_page(FIVE, query)
    assert "".join(ids(cut)) == shown
    assert cut.has_more is more
    assert (cut.first_id, cut.last_id) == ((shown[0], shown[-1]) if shown else (None, None))


@pytest.mark.parametrize("step", [1, 2, 3])
def test_following_the_pages_gives_each_model_once(step: int) -> None:
    seen: list[str] = []
    after = None
    while True:
        cut = cut_page(FIVE, PageQuery(limit=step, after_id=after))
        seen += ids(cut)
        if not cut.has_more:
            break
        after = cut.last_id
    assert seen == list("01234")


@pytest.mark.parametrize("parameter", ["after_id", "before_id"])
def test_unknown_cursor_is_refused(parameter: str) -> None:
    with pytest.raises(Refusal, match=parameter):
        cut_page(FIVE, PageQuery(**{parameter: "9"}))  # type: ignore[arg-type]


def test_query_string_is_read() -> None:
    asked = parse_page_query(
        [("limit", "7"), ("after_id", "x"), ("lifecycle[]", "retired"), ("beta", "true")]
    )
    assert asked == PageQuery(limit=7, after_id="x", lifecycles=frozenset({"retired"}))


def test_empty_cursors_are_none() -> None:
    assert parse_page_query([("after_id", ""), ("before_id", "")]) == PageQuery()


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "ten", "", "1.5", "٣", "9" * 5000])
def test_limit_out_of_range_is_refused(limit: str) -> None:
    with pytest.raises(Refusal) as refusal:
        parse_page_query([("limit", limit)])
    assert (refusal.value.status, refusal.value.path) == (400, "limit")


@pytest.mark.parametrize(
    "query", [[("lifecycle", "born")], [("after_id", "a"), ("before_id", "b")]], ids=str
)
def test_meaningless_query_is_refused(query: list[tuple[str, str]]) -> None:
    with pytest.raises(Refusal):
        parse_page_query(query)


# --- one model ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("deepseek-flash", "deepseek-flash"),
        ("deepseek-chat", "deepseek-chat"),
        ("deepseek-v4-pro[1m]", "deepseek-v4-pro"),
        ("deepseek/deepseek-v4-pro", "deepseek-v4-pro"),
        ("claude-opus-5-5", "deepseek-v4-pro"),
        ("claude-deepseek-flash", "claude-deepseek-flash"),
    ],
)
def test_one_model_by_any_name_that_means_it(name: str, found: str) -> None:
    assert asyncio.run(directory().one(name)).id == found


def test_one_model_by_a_users_name() -> None:
    assert asyncio.run(directory(fast="deepseek-flash").one("fast")).id == "fast"


@pytest.mark.parametrize("name", ["gpt-9", "no/such:model@x", "", "m" * 10_000])
def test_unknown_model_is_not_found(name: str) -> None:
    with pytest.raises(Refusal) as refusal:
        asyncio.run(directory().one(name))
    assert refusal.value.status == 404
    assert refusal.value.error_type == "not_found_error"
    assert refusal.value.message == f"model: {name}"


# --- the two shapes -------------------------------------------------------------------------------


def test_sdk_reads_every_model_strictly() -> None:
    for model in page(for_claude_code=True).data:
        read = SdkModelInfo.model_validate_json(msgspec.json.encode(model), strict=False)
        assert read.id == model.id
        assert read.created_at.tzinfo is not None
        assert read.capabilities is not None
        assert read.capabilities.thinking.types.adaptive.supported


def test_abilities_are_the_models_own() -> None:
    pro = model_info(PRO).capabilities
    assert not pro.image_input.supported
    assert pro.effort.supported
    plain = model_info(replace(PRO, thinks=False)).capabilities
    assert not plain.thinking.supported
    assert not plain.effort.max.supported


def test_body_is_also_an_openai_list() -> None:
    body = json.loads(msgspec.json.encode(page(limit=1)))
    assert body["object"] == "list"
    model = body["data"][0]
    assert (model["object"], model["owned_by"]) == ("model", "deepseek")
    assert model["created"] == 1_788_998_400  # 2026-09-10T00:00:00Z
    assert model["type"] == "model"


def test_abilities_of_this_server_are_told_for_every_model() -> None:
    told = model_info(replace(PRO, sees=False, thinks=False)).capabilities
    assert told is not None
    assert told.citations.supported
    assert told.pdf_input.supported
    assert told.structured_outputs.supported
    assert told.context_management.clear_tool_uses_20250919.supported
    assert not told.image_input.supported
    assert not told.batch.supported
