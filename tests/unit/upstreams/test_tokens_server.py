"""The token route through the whole server: which way requests take, and what silence and dead
connections come to.
"""

import http.client
import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from deepseek_messages.settings import UpstreamSettings
from deepseek_messages.upstreams.base import UpstreamCall
from deepseek_messages.upstreams.tokens.servers import TOKEN_SERVERS
from deepseek_messages.upstreams.tokens.upstream import TokensHttpUpstream
from deepseek_messages.web.app import create_app
from deepseek_messages.web.protocol import BoundedProtocol
from tests.support.app import settings_for
from tests.support.client import HELLO, STREAM, Client
from tests.support.clock import SKIPPING, SkippingLoop
from tests.support.gates import WAIT_SECONDS
from tests.support.servers import (
    Cut,
    HalfClose,
    ReadRequest,
    Reset,
    RunningApp,
    Stall,
    Step,
    answer,
    assert_lawful,
    chunk,
    chunked_sse_head,
    raw_upstream,
    serve_app,
)
from tests.support.token_route import ON, SERVERS, TokenAnswer, chat
from tests.support.token_server import PATHS, TokenServerFake


@contextmanager
def serving(kind: str, url: str, state: Path, **more: Any) -> Iterator[RunningApp]:
    upstream = UpstreamSettings(
        kind="tokens",
        server=kind,  # type: ignore[arg-type]
        base_url=url,
        proxy_from_env=False,
        **more.pop("upstream", {}),
    )
    loop = more.pop("loop", "auto")
    app = create_app(settings_for(state, upstream=upstream, **more))
    with serve_app(app, http=BoundedProtocol, proxy_headers=False, loop=loop) as running:
        yield running


@dataclass
class Watched(TokenServerFake):
    """Remembers the paths that were posted to."""

    paths: list[str] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            self.paths.append(scope["path"])
        await super().__call__(scope, receive, send)


@pytest.mark.parametrize("kind", SERVERS)
def test_every_request_of_a_connection_goes_up_in_tokens(kind: str, tmp_path: Path) -> None:
    """Also those after the first, for which a chat upstream has a shorter way."""
    fake = Watched(kind)
    with serve_app(fake, lifespan="off") as up, serving(kind, up.url, tmp_path) as running:
        connection = http.client.HTTPConnection(running.host, running.port, timeout=WAIT_SECONDS)
        fields = {"content-type": "application/json"}
        with closing(connection):
            for _ in range(3):
                connection.request("POST", "/v1/messages", json.dumps(HELLO).encode(), fields)
                reply = connection.getresponse()
                assert (reply.status, json.loads(reply.read())["type"]) == (200, "message")
    assert fake.paths == [PATHS[kind]] * 3


ANSWERS: Sequence[Step] = [ReadRequest(), chunked_sse_head()]


def asked_about_itself(made: TokenAnswer) -> list[list[Step]]:
    """What a server is asked first: its models, and SGLang and llama.cpp about themselves."""
    listing = answer(json.dumps(made.fake.listing()).encode())
    asides: list[list[Step]] = [[ReadRequest(), answer(b"{}"), Cut()]]
    return [[ReadRequest(), listing, Cut()], *(asides if made.fake.kind != "vllm" else [])]


@pytest.mark.parametrize("kind", SERVERS)
def test_silence_in_mid_reasoning_is_filled_with_pings_and_ends_in_one_error(
    kind: str, tmp_path: Path
) -> None:
    made = TokenAnswer(kind, "v4.1", chat(thinking=ON), "Let me see what this comes to")
    begun = made.body[: made.body.index(b"data: ", len(made.body) // 2)]
    asked = STREAM | {
        "max_tokens": 2000,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    with (
        raw_upstream(*asked_about_itself(made), [*ANSWERS, chunk(begun), Stall()]) as up,
        serving(
            kind,
            up.url,
            tmp_path,
            server={"ping_interval": 200.0},
            upstream={"idle_timeout": 1234.0},
            loop=SKIPPING,
        ) as running,
        Client(running.host, running.port).stream(asked) as stream,
    ):
        assert isinstance(running.loop, SkippingLoop)
        events: list[Any] = []
        for wanted, passes in (("content_block_delta", 200.0), ("ping", 1234.0)):
            while not events or events[-1]["type"] != wanted:
                events.append(stream.next())
                assert events[-1] is not None, events
            running.loop.skip(passes).done.require("the jump")
        events += stream.rest()
    assert_lawful(events)
    kinds = [event["type"] for event in events]
    assert kinds[-1] == "error"
    assert "1234" in events[-1]["error"]["message"]
    said = kinds.index("content_block_delta")
    assert "ping" in kinds[said:]
    assert kinds.count("error") == 1
    begun_blocks = [each["content_block"]["type"] for each in events if "content_block" in each]
    assert begun_blocks == ["thinking"]
    assert "message_stop" not in kinds


@pytest.mark.parametrize("kind", SERVERS)
def test_a_stop_sequence_is_found_here_and_the_server_stopped(kind: str, tmp_path: Path) -> None:
    made = TokenAnswer(kind, "v4.1", chat(), "One two STOP three four five six seven eight")
    begun = made.body[: made.body.index(b"data: ", made.body.index(b"three"))]
    with (
        raw_upstream(*asked_about_itself(made), [*ANSWERS, chunk(begun), Stall()]) as up,
        serving(kind, up.url, tmp_path) as running,
    ):
        client = Client(running.host, running.port)
        message = client.post(HELLO | {"stop_sequences": ["STOP"]}).json()
        assert all(each.done.wait(WAIT_SECONDS) for each in up.connections)
    assert message["content"] == [{"type": "text", "text": "One two "}]
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", "STOP")


CONSTRAINED = {
    "vllm": lambda body: body.get("structured_outputs", {}).get("json"),
    "sglang": lambda body: json.loads(body["sampling_params"].get("json_schema", "null")),
    "llama.cpp": lambda body: body.get("json_schema"),
}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


class SecondTry(TokenServerFake):
    """Thinks, and then writes prose where JSON was asked for; JSON when it is held to it."""

    def events(self) -> Iterator[dict[str, Any]]:
        held = CONSTRAINED[self.kind](self.asked[-1]) is not None
        self.text = '{"city":"Rome"}' if held else "Let me see</think>It is Rome"
        return super().events()


@pytest.mark.parametrize("kind", SERVERS)
def test_json_that_was_not_written_after_thinking_is_written_under_constraint(
    kind: str, tmp_path: Path
) -> None:
    """No server here can hold an answer to a schema while the model thinks."""
    fake = SecondTry(kind)
    asked = HELLO | {
        "max_tokens": 2000,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "output_config": {"format": {"type": "json_schema", "schema": CITY}},
    }
    with serve_app(fake, lifespan="off") as up, serving(kind, up.url, tmp_path) as running:
        reply = Client(running.host, running.port).post(asked)
    assert reply.status == 200, reply.body
    assert json.loads(reply.json()["content"][-1]["text"]) == {"city": "Rome"}
    constraints = [CONSTRAINED[kind](body) for body in fake.asked]
    assert constraints[0] is None
    assert constraints[1]["required"] == ["city"]


@pytest.mark.anyio
@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("ending", [Reset(), HalfClose()])
async def test_a_kept_connection_that_died_is_replaced_at_once(kind: str, ending: Step) -> None:
    """The server ends the kept connection only when the second request is on it."""
    body = TokenAnswer(kind, "v4.1", chat(), "Hello").body
    whole: Sequence[Step] = [ReadRequest(), chunked_sse_head(), chunk(body), chunk(b"")]
    with raw_upstream([*whole, ReadRequest(), ending], whole) as up:
        upstream = TokensHttpUpstream(
            server=TOKEN_SERVERS[kind], base_url=up.url, proxy_from_env=False
        )
        for _ in range(2):
            stream = await upstream.open(UpstreamCall(request=chat()))
            chunks = [each async for each in _all(stream)]
            await stream.aclose()
            assert any(choice.finish_reason for each in chunks for choice in each.choices or ())
        await upstream.aclose()
        assert len(up.connections) == 2


async def _all(stream: Any) -> Any:
    while chunks := await stream.read():
        for each in chunks:
            yield each
