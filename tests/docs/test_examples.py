"""The settings files of docs/examples can be used as they are."""

import asyncio
from pathlib import Path

import pytest

from deepseek_messages.settings import load_settings
from deepseek_messages.upstreams.account import DEEPSEEK_LIMITS
from deepseek_messages.upstreams.pool import Pool
from deepseek_messages.upstreams.tokens_http import TokensHttpUpstream
from deepseek_messages.web.upstreams import make_upstream

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
FILES = sorted(EXAMPLES.glob("*.toml"))
ENV = {"DEEPSEEK_API_KEY": "sk-example"}


def pool_of(name: str, tmp_path: Path) -> Pool:
    env = ENV | {"DEEPSEEK_MESSAGES_CACHE_DIR": str(tmp_path)}
    made = make_upstream(load_settings(EXAMPLES / name, env, {}))
    assert isinstance(made, Pool)
    asyncio.run(made.aclose())
    return made


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_example_makes_upstreams(path: Path, tmp_path: Path) -> None:
    pool = pool_of(path.name, tmp_path)
    assert path.name in (EXAMPLES.parent / "how-to" / "several-upstreams.md").read_text()
    assert len({member.name for member in pool.members}) == len(pool.members)


def test_there_is_one_for_each_set_up() -> None:
    assert [path.stem for path in FILES] == [
        "behind-a-cluster",
        "deepseek-only",
        "deepseek-with-fallback",
        "four-vllm-replicas",
    ]


def test_the_fallbacks_come_in_order(tmp_path: Path) -> None:
    members = pool_of("deepseek-with-fallback.toml", tmp_path).members
    assert [(m.name, m.place.priority) for m in members] == [
        ("deepseek", 0),
        ("own-vllm", 1),
        ("last-resort", 1000),
    ]
    assert members[0].place.model_limits == DEEPSEEK_LIMITS


def test_the_replicas_get_token_ids(tmp_path: Path) -> None:
    members = pool_of("four-vllm-replicas.toml", tmp_path).members
    assert all(isinstance(member.upstream, TokensHttpUpstream) for member in members)
    assert [member.place.weight for member in members] == [1, 1, 1, 2]
