import pytest
from msgspec.structs import replace

from deepseek_messages.translation import catalogue
from deepseek_messages.translation.catalogue import (
    CHAT,
    FLASH,
    KNOWN_MODELS,
    PRO,
    REASONER,
    UNKNOWN_WINDOW,
    Model,
    describe,
    find,
    resolve,
)

HOSTED = [FLASH, PRO]
OLD = [CHAT, REASONER]
LOCAL = [Model(id="smollm2", display_name="SmolLM2", context_window=8192, max_output_tokens=8192)]


@pytest.mark.parametrize(
    ("requested", "served"),
    [
        ("deepseek-flash", "deepseek-flash"),
        ("deepseek-v4-pro", "deepseek-v4-pro"),
        ("deepseek-v4-flash", "deepseek-flash"),
        ("deepseek-v4-flash-vision-exp", "deepseek-flash"),
        ("deepseek-chat", "deepseek-flash"),
        ("deepseek-reasoner", "deepseek-flash"),
        ("claude-opus-5-5", "deepseek-v4-pro"),
        ("claude-sonnet-5-5", "deepseek-flash"),
        ("claude-haiku-5-5", "deepseek-flash"),
        ("claude-fable-5-2", "deepseek-flash"),
        ("gpt-9", "deepseek-flash"),
        ("", "deepseek-flash"),
        ("deepseek-v4-pro[1m]", "deepseek-v4-pro"),
        ("claude-opus-5-5[1m]", "deepseek-v4-pro"),
        ("deepseek/deepseek-v4-pro", "deepseek-v4-pro"),
        ("openrouter/deepseek/deepseek-v4-pro[1m]", "deepseek-v4-pro"),
        ("anthropic/claude-opus-5-5", "deepseek-v4-pro"),
    ],
)
def test_hosted_service_serves(requested: str, served: str) -> None:
    assert resolve(requested, HOSTED, "deepseek-chat").model.id == served


@pytest.mark.parametrize(
    ("requested", "served"),
    [
        ("deepseek-chat", "deepseek-chat"),
        ("deepseek-reasoner", "deepseek-reasoner"),
        ("claude-opus-4", "deepseek-reasoner"),
        ("claude-haiku-3", "deepseek-chat"),
        ("something-else", "deepseek-chat"),
        ("deepseek-flash", "deepseek-chat"),
    ],
)
def test_server_with_the_old_names_serves(requested: str, served: str) -> None:
    assert resolve(requested, OLD, "deepseek-chat").model.id == served


@pytest.mark.parametrize("requested", ["deepseek-chat", "claude-opus-5-5", "x", "a/b:c", "[1m]"])
def test_a_single_model_serves_every_name(requested: str) -> None:
    choice = resolve(requested, LOCAL, "deepseek-chat")
    assert choice.model is LOCAL[0]
    assert choice.requested == requested


@pytest.mark.parametrize(
    ("requested", "thinking"),
    [
        ("deepseek-chat", False),
        ("deepseek-chat[1m]", False),
        ("deepseek-reasoner", True),
        ("deepseek/deepseek-reasoner", True),
        ("deepseek-flash", None),
        ("claude-opus-5-5", None),
    ],
)
@pytest.mark.parametrize("served", [HOSTED, OLD, LOCAL], ids=["hosted", "old", "local"])
def test_thinking_by_name(requested: str, thinking: bool | None, served: list[Model]) -> None:
    assert resolve(requested, served, "deepseek-flash").thinking_default is thinking


def test_unknown_name_is_served_as_the_default_name() -> None:
    choice = resolve("gpt-9", HOSTED, "deepseek-reasoner")
    assert (choice.model.id, choice.thinking_default) == ("deepseek-flash", True)


def test_user_alias_wins_over_a_served_id() -> None:
    aliases = {"deepseek-flash": "deepseek-v4-pro"}
    assert resolve("deepseek-flash", HOSTED, "", aliases).model.id == "deepseek-v4-pro"


def test_user_alias_may_be_a_pattern() -> None:
    aliases = {"claude-haiku*": "deepseek-v4-pro"}
    assert resolve("claude-haiku-5-5[1m]", HOSTED, "", aliases).model.id == "deepseek-v4-pro"
    assert resolve("claude-sonnet-5-5", HOSTED, "", aliases).model.id == "deepseek-flash"


def test_user_alias_to_an_old_name_carries_its_thinking() -> None:
    choice = resolve("fast", HOSTED, "", {"fast": "deepseek-chat"})
    assert (choice.model.id, choice.thinking_default) == ("deepseek-flash", False)


def test_user_alias_to_nothing_falls_to_the_default() -> None:
    assert (
        resolve("fast", HOSTED, "deepseek-v4-pro", {"fast": "gone"}).model.id == "deepseek-v4-pro"
    )


def test_served_id_wins_over_the_meaning_of_its_parts() -> None:
    odd = replace(LOCAL[0], id="claude-opus[1m]")
    assert resolve("claude-opus[1m]", [*HOSTED, odd], "").model is odd


def test_id_with_a_slash_is_found_whole() -> None:
    checkpoint = describe("deepseek-ai/DeepSeek-V4-Pro")
    assert resolve("deepseek-ai/DeepSeek-V4-Pro", [checkpoint], "").model is checkpoint


def test_nothing_served_gives_the_default_by_its_record() -> None:
    assert resolve("x", [], "deepseek-flash").model == FLASH


def test_window_of_autumn_2025() -> None:
    assert (CHAT.context_window, CHAT.max_output_tokens) == (131_072, 8_192)
    assert (REASONER.context_window, REASONER.max_output_tokens) == (131_072, 65_536)


def test_aliases_are_flash_in_all_but_name() -> None:
    for name in ("deepseek-v4-flash", "deepseek-v4-flash-vision-exp"):
        alias = KNOWN_MODELS[name]
        same = replace(
            alias,
            id=FLASH.id,
            display_name=FLASH.display_name,
            created_at=FLASH.created_at,
            lifecycle=FLASH.lifecycle,
        )
        assert same == FLASH


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("deepseek-ai/DeepSeek-V4.1-Flash", "v4.1"),
        ("deepseek-ai/DeepSeek-V4-Flash", "v4"),
        ("deepseek-v4-flash", "v4.1"),
        ("DeepSeek-V4-Pro-0813", "v4"),
        ("deepseek-ai/DeepSeek-V3.2-Exp", None),
        ("DeepSeek-R1-Distill-Qwen-1.5B", None),
        ("qwen3", None),
    ],
)
def test_encoding_follows_the_weights(name: str, encoding: str | None) -> None:
    assert describe(name).encoding == encoding


def test_upstreams_own_figures_win() -> None:
    model = describe("deepseek-flash", context_window=100_000, max_output_tokens=200_000)
    assert (model.context_window, model.max_output_tokens) == (100_000, 100_000)


def test_unknown_model_is_described_carefully() -> None:
    model = describe("mystery", owned_by="me")
    assert model.id == model.display_name == "mystery"
    assert (model.context_window, model.max_output_tokens) == (UNKNOWN_WINDOW, UNKNOWN_WINDOW)
    assert not model.thinks
    assert not model.sees
    assert model.owned_by == "me"


@pytest.mark.parametrize("name", ["claude-deepseek-v4-pro", "claude-deepseek-v4-pro[1m]"])
def test_name_shown_to_claude_code_means_its_model(name: str) -> None:
    assert resolve(name, HOSTED, "").model is PRO


@pytest.mark.parametrize("name", ["gpt-9", "deepseek", "deepseek-v9", "", "[1m]", "a/b"])
def test_name_without_a_meaning_is_not_found(name: str) -> None:
    assert find(name, HOSTED) is None


def test_old_name_is_found_on_any_server() -> None:
    choice = find("deepseek-reasoner", LOCAL)
    assert choice is not None
    assert choice.model is LOCAL[0]
    assert find("deepseek-reasoner", []) is None


@pytest.mark.parametrize(
    "name", ["DeepSeek-V4-Pro", "deepseek-ai/DeepSeek-V4-Pro", "Claude-Opus-5"]
)
def test_case_of_a_name_does_not_matter_where_nothing_else_does(name: str) -> None:
    assert resolve(name, (FLASH, PRO), "deepseek-chat").model is PRO


def test_what_is_remembered_of_a_name_holds_for_its_circumstances_only() -> None:
    aliases = {"fast": "deepseek-v4-pro"}
    served = [FLASH, PRO]
    assert resolve("fast", served, "", aliases).model is PRO
    assert resolve("fast", served, "").model is FLASH
    aliases["fast"] = "deepseek-flash"
    assert resolve("fast", served, "", aliases).model is FLASH
    assert resolve("fast", served, "deepseek-v4-pro").model is PRO
    served.remove(PRO)
    assert resolve("fast", served, "deepseek-v4-pro").model is FLASH


def test_few_names_are_remembered_and_no_long_ones() -> None:
    for number in range(3 * catalogue._MEMO_ENTRIES):
        resolve(f"name-{number}", HOSTED, "")
    resolve("long" * 1000, HOSTED, "")
    assert len(catalogue._resolved) <= catalogue._MEMO_ENTRIES
    assert "long" * 1000 not in catalogue._resolved
