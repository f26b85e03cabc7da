"""Upstreams of several kinds behind one name: whoever answers, the client sees the same API."""

from pathlib import Path

import pytest

from deepseek_messages.settings import MemberSettings, Secret
from deepseek_messages.upstreams.double import Double, Status, Text, running_double
from deepseek_messages.web.app import create_app
from tests.support.app import settings_for
from tests.support.client import HELLO, STREAM, Client
from tests.support.servers import assert_lawful, serve_app
from tests.support.token_server import TokenServerFake


@pytest.mark.parametrize("body", [HELLO, STREAM], ids=["whole", "stream"])
def test_each_kind_takes_over_from_the_one_before(tmp_path: Path, body: dict[str, object]) -> None:
    tokens = TokenServerFake("vllm", text="</think>Hello")
    chat = Double(respond=lambda _seen: chat_answers[0])
    chat_answers: list[object] = [Text("Hello")]
    with running_double(chat) as url, serve_app(tokens, lifespan="off") as token_server:
        members = (
            MemberSettings(name="ids", kind="tokens", base_url=token_server.url),
            MemberSettings(
                name="chat",
                priority=1,
                base_url=url,
                dialect="deepseek",
                api_key=Secret("sk-chat"),
            ),
            MemberSettings(name="inside", priority=2, kind="double"),
        )
        settings = settings_for(tmp_path, upstreams=members)
        with serve_app(create_app(settings)) as running:
            client = Client(running.host, running.port)
            asked = []
            for broken in (None, "ids", "chat"):
                if broken == "ids":
                    tokens.status = 500
                elif broken == "chat":
                    chat_answers[0] = Status(500)
                reply = client.post(body)
                assert reply.status == 200, reply.body
                if body is STREAM:
                    assert_lawful(reply.events())
                else:
                    assert reply.json()["model"] == "deepseek-chat"
                asked.append((len(tokens.asked), len(chat.requests)))
    # A request that is refused is not among those the token server was asked to answer.
    assert asked == [(1, 0), (1, 1), (1, 2)]
