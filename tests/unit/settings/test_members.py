"""``[[upstreams]]``: what a table may hold, what wins, what is refused and in which words."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepseek_messages.settings import MEMBER, Secret, Settings, SettingsError, load_settings

Load = Callable[..., Settings]

TWO = """
[[upstreams]]
name = "deepseek"
api_key_env = "DEEPSEEK_API_KEY"

[[upstreams]]
name = "own"
base_url = "http://gpu.example:8000/v1"
dialect = "vllm"
weight = 2.5
max_concurrency = 64
"""
KEY = {"DEEPSEEK_API_KEY": "sk-deepseek"}


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(text: str, env: dict[str, str] | None = None, **flags: Any) -> Settings:
        path = tmp_path / "settings.toml"
        path.write_text(text)
        return load_settings(path, KEY if env is None else env, flags)

    return load


def test_tables_become_members(load: Load) -> None:
    settings = load(TWO)
    deepseek, own = settings.upstreams
    assert (deepseek.name, deepseek.url, deepseek.api_key) == (
        "deepseek",
        "https://api.deepseek.com",
        Secret("sk-deepseek"),
    )
    assert (own.weight, own.max_concurrency, own.api_key) == (2.5, 64, None)
    assert settings.upstream_kind == "pool"
    assert settings.auth_mode == "keys"


@pytest.mark.parametrize("weight", ["inf", "nan", "0", "-1", "1e308"])
def test_a_weight_is_a_part_of_something(load: Load, weight: str) -> None:
    with pytest.raises(SettingsError, match=r"upstreams\.1\.weight"):
        load(TWO.replace("weight = 2.5", f"weight = {weight}"))


def test_the_key_of_the_environment_is_for_the_member_that_names_it(load: Load) -> None:
    text = TWO.replace('api_key_env = "DEEPSEEK_API_KEY"', 'api_key = "sk-file"')
    settings = load(text)
    assert [member.api_key for member in settings.upstreams] == [Secret("sk-file"), None]
    assert settings.upstream.api_key is None


def test_models_in_this_process_alone_need_no_key(load: Load) -> None:
    text = (
        '[[upstreams]]\nname = "a"\nkind = "double"\n[[upstreams]]\nname = "b"\nkind = "embedded"\n'
    )
    assert load(text).auth_mode == "open"


@pytest.mark.parametrize(
    ("env", "flags"),
    [({"DEEPSEEK_MESSAGES_UPSTREAM": "double"}, {}), ({}, {"upstream": "double"})],
)
def test_an_upstream_named_outside_the_file_stands_for_all(
    load: Load, env: dict[str, str], flags: dict[str, str]
) -> None:
    settings = load(TWO, KEY | env, **flags)
    assert settings.upstreams == ()
    assert settings.upstream_kind == "double"


def test_the_base_url_of_other_programs_changes_nothing(load: Load) -> None:
    settings = load(TWO, KEY | {"DEEPSEEK_BASE_URL": "http://elsewhere.example"})
    assert settings.upstream.base_url is None
    assert len(settings.upstreams) == 2


def table(more: str) -> str:
    return f'[[upstreams]]\nname = "a"\n{more}\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[upstreams]]\nkind = 'chat'\n", r"upstreams.0.name: is missing"),
        (table("wieght = 2"), r"upstreams.0.wieght: unknown setting; did you mean .*weight"),
        (table("weight = 0"), r"upstreams.0.weight: Expected .* > 0"),
        (table("priority = -1"), r"upstreams.0.priority: Expected .*>= 0"),
        (table("max_concurrency = 'many'"), r"upstreams.0.max_concurrency: Expected"),
        (table("kind = 'pool'"), r"upstreams.0.kind: Invalid enum value 'pool'"),
        (table("dialect = 'vlm'"), r"upstreams.0.dialect: 'vlm' is none of .*did you mean vllm"),
        (table("base_url = 'gpu:8000'"), r"upstreams.0.base_url: it is no http"),
        (table("base_url = 'http://u:p@gpu'"), r"keys go into upstreams.0.api_key"),
        (table("kind = 'tokens'"), r"upstreams.0.base_url: a tokens server has no default"),
        (table("api_key_env = 'NO_SUCH'"), r"upstreams.0.api_key_env: the variable NO_SUCH is not"),
        (table("api_key_env = 'K'\napi_key = 'k'"), r"there is an api_key as well"),
        (table("") + table(""), r"upstreams.1.name: there is another 'a'"),
        ("[[upstreams]]\nname = 'a b'\n", r"upstreams.0.name: Expected .* matching"),
        ("[upstreams]\nname = 'a'\n", r"upstreams: is a list of tables, write \[\[upstreams\]\]"),
        (table("") + "[upstream]\nmodel = 'm'\n", r"upstream.model: has no meaning beside"),
        (table("") + "[auth]\nmode = 'pass-through'\n", r"auth.mode: pass-through would show"),
        (table("") + "[auth]\nmode = 'open'\n", r"auth.mode: \"open\" is for"),
        (
            table("kind = 'embedded'") + "[[upstreams]]\nname = 'b'\nkind = 'embedded'\n",
            r"one embedded model at most",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(load: Load, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load(text)


def test_a_setting_of_the_single_upstream_in_the_environment_is_refused(load: Load) -> None:
    with pytest.raises(SettingsError, match="has no meaning beside"):
        load(TWO, KEY | {"DEEPSEEK_MESSAGES_UPSTREAM_MODEL": "m"})


def test_the_model_flag_is_refused(load: Load) -> None:
    with pytest.raises(SettingsError, match="each table names its own model"):
        load(TWO, model="m")


def test_every_key_of_a_table_is_described() -> None:
    assert next(iter(MEMBER)) == "name"
    assert [name for name, setting in MEMBER.items() if not setting.description] == []
