"""The settings files of docs/examples can be used as they are."""

import asyncio
import re
from pathlib import Path

import pytest

from deepseek_messages.settings import load_settings
from deepseek_messages.upstreams.account import DEEPSEEK_LIMITS
from deepseek_messages.upstreams.double import Double, Status, Text, running_double
from deepseek_messages.upstreams.pool.pool import Pool
from deepseek_messages.upstreams.tokens.upstream import TokensHttpUpstream
from deepseek_messages.web.upstreams import make_upstream
from tests.support.client import HELLO, STREAM, Reply
from tests.support.servers import serve_app
from tests.support.serving import serve_config
from tests.support.token_server import TokenServerFake

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


# --- the whole program on each of them ------------------------------------------------------------

TABLE = "[[upstreams]]"


def pointed_to(double: str, tokens: str, path: Path) -> str:
    """The file with its addresses replaced by those of servers that are there."""
    head, *tables = path.read_text().split(TABLE)
    return TABLE.join([head, *(_pointed_to(double, tokens, table) for table in tables)])


def _pointed_to(double: str, tokens: str, table: str) -> str:
    if 'kind = "embedded"' in table:
        return table
    url = tokens if 'kind = "tokens"' in table else double
    lines = [f'\nbase_url = "{url}"']
    if "api_key_env" not in table:
        lines.append('api_key = "sk-none"')  # vLLM asks for none, the double asks for any
    return "\n".join(lines) + re.sub(r"\nbase_url = .*", "", table)


def first_text(reply: Reply) -> str:
    assert reply.status == 200, reply.body
    return "".join(
        each["delta"].get("text", "")
        for each in reply.events()
        if each["type"] == "content_block_delta"
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_example_serves(path: Path, tmp_path: Path) -> None:
    tokens = TokenServerFake("vllm", text="</think>Hello")
    no_model = tmp_path / "no-model.gguf"  # the last resort is not what is asked here
    no_model.write_bytes(b"")
    env = ENV | {
        "DEEPSEEK_MESSAGES_SERVER_HOST": "127.0.0.1",
        "DEEPSEEK_MESSAGES_SERVER_PORT": "0",
        "DEEPSEEK_MESSAGES_AUTH_KEYS_FILE": str(tmp_path / "keys"),
        "DEEPSEEK_MESSAGES_STATE_DIR": str(tmp_path),
        "DEEPSEEK_MESSAGES_EMBEDDED_MODEL": str(no_model),
    }
    double = Double(respond=lambda _seen: [Text("Hello")])
    with running_double(double) as url, serve_app(tokens, lifespan="off") as token_server:
        config = tmp_path / path.name
        config.write_text(pointed_to(url, token_server.url, path))
        with serve_config(config, env=env) as program:
            client = program.client
            assert program.new_key is not None  # whoever has none is a stranger
            assert client.post(HELLO, x_api_key="sk-stranger").status == 401
            assert client.post(HELLO).json()["content"][-1]["text"] == "Hello"
            assert first_text(client.post(STREAM)) == "Hello"
            ready = client.get("/readyz").json()
            assert ready["ready"] is True
            names = [each["name"] for each in ready["upstreams"]]
            assert names == [member.name for member in load_settings(path, ENV, {}).upstreams]
    assert len(double.requests) + len(tokens.asked) == 2
    if path.stem.startswith("deepseek"):
        assert {seen.key for seen in double.requests} == {ENV["DEEPSEEK_API_KEY"]}


def test_the_fallback_answers_while_deepseek_is_down(tmp_path: Path) -> None:
    path = EXAMPLES / "deepseek-with-fallback.toml"
    down = Double(respond=lambda _seen: Status(503))
    own = Double(respond=lambda _seen: [Text("Hello from here")])
    env = ENV | {
        "DEEPSEEK_MESSAGES_SERVER_PORT": "0",
        "DEEPSEEK_MESSAGES_STATE_DIR": str(tmp_path),
        "DEEPSEEK_MESSAGES_EMBEDDED_MODEL": str(tmp_path / "no-model.gguf"),
    }
    (tmp_path / "no-model.gguf").write_bytes(b"")
    with running_double(down) as deepseek, running_double(own) as vllm:
        deepseek_first = pointed_to(deepseek, deepseek, path)
        config = tmp_path / path.name
        config.write_text(vllm.join(deepseek_first.rsplit(deepseek, 1)))
        with serve_config(config, env=env) as program:
            assert first_text(program.client.post(STREAM)) == "Hello from here"
    assert down.requests
