"""Images with token ids: one placeholder token each, the images beside them, for DeepSeek V4.1 on
a server that takes both (SGLang); for all others a note that the model reads.
"""

from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import deepseek_recipe as recipe
import pytest

from deepseek_messages.settings import UpstreamSettings
from deepseek_messages.web.app import create_app
from tests.support.app import settings_for
from tests.support.client import HELLO, Client, Reply
from tests.support.servers import serve_app
from tests.support.token_server import IMAGE, TokenServerFake
from tests.unit.prompt.test_images import png

PICTURE = png(800, 600)
PICTURE_TOKENS = (
    1 + recipe.MultiModalData([recipe.ImageInfo(b"", 800, 600)]).image_token_adjustment()
)
DATA_URL = f"data:image/png;base64,{b64encode(PICTURE).decode()}"
URL = "https://example.com/cat.png"
NOTES = "deepseek-messages-notes"


def image(**source: Any) -> dict[str, Any]:
    return {"type": "image", "source": source}


BASE64 = image(type="base64", media_type="image/png", data=b64encode(PICTURE).decode())
BY_URL = image(type="url", url=URL)


def asking(*content: dict[str, Any]) -> dict[str, Any]:
    said = [{"type": "text", "text": "What is on <｜image｜>?"}, *content]
    return HELLO | {"messages": [{"role": "user", "content": said}]}


@contextmanager
def serving(fake: TokenServerFake, state: Path, **upstream: Any) -> Iterator[Client]:
    with serve_app(fake, lifespan="off") as running:
        settings = settings_for(
            state,
            upstream=UpstreamSettings(
                kind="tokens",
                server=fake.kind,  # type: ignore[arg-type]
                base_url=running.url,
                proxy_from_env=False,
                **upstream,
            ),
        )
        with serve_app(create_app(settings)) as app:
            yield Client(app.host, app.port)


def ask(fake: TokenServerFake, state: Path, *content: dict[str, Any], **upstream: Any) -> Reply:
    with serving(fake, state, **upstream) as client:
        return client.post(asking(*content))


def used(reply: Reply) -> int:
    usage = reply.json()["usage"]
    total: int = usage["input_tokens"] + usage["cache_read_input_tokens"]
    return total


def test_the_image_goes_beside_its_placeholder(tmp_path: Path) -> None:
    fake = TokenServerFake("sglang")
    reply = ask(fake, tmp_path, BASE64, BY_URL)
    assert reply.status == 200, reply.body
    assert fake.images() == [DATA_URL, URL]
    assert fake.prompt().count(IMAGE) == 2
    assert "image" not in reply.headers.get(NOTES, "")


def test_an_image_of_known_size_is_counted_by_deepseeks_rule(tmp_path: Path) -> None:
    fake = TokenServerFake("sglang", image_tokens=PICTURE_TOKENS)
    with serving(fake, tmp_path) as client:
        counted = client.post(asking(BASE64), path="/v1/messages/count_tokens")
        reply = client.post(asking(BASE64))
    assert PICTURE_TOKENS > 100
    assert used(reply) == len(fake.prompt()) - 1 + PICTURE_TOKENS
    assert counted.json() == {"input_tokens": used(reply)}


def test_an_image_of_unknown_size_is_counted_by_the_server(tmp_path: Path) -> None:
    fake = TokenServerFake("sglang", image_tokens=123)
    reply = ask(fake, tmp_path, BY_URL)
    assert used(reply) == len(fake.prompt()) - 1 + 123


def test_the_image_of_a_result_stays_in_the_result(tmp_path: Path) -> None:
    call = {"type": "tool_use", "id": "t1", "name": "shot", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [BASE64]}
    asked = HELLO | {
        "tools": [{"name": "shot", "input_schema": {"type": "object"}}],
        "messages": [
            {"role": "user", "content": "Look"},
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [result]},
        ],
    }
    fake = TokenServerFake("sglang")
    with serving(fake, tmp_path) as client:
        reply = client.post(asked)
    assert reply.status == 200, reply.body
    assert fake.images() == [DATA_URL]
    assert "tool_result.image" not in reply.headers.get(NOTES, "")


WITHOUT = {
    "vllm": TokenServerFake("vllm"),
    "llama.cpp": TokenServerFake("llama.cpp"),
    "V4": TokenServerFake("sglang", model="DeepSeek-V4-Pro"),
    "no vision part": TokenServerFake("sglang", sees=False),
}


@pytest.mark.row("messages.content.image.source")
@pytest.mark.parametrize("which", WITHOUT)
def test_where_it_cannot_go_the_model_reads_a_note(which: str, tmp_path: Path) -> None:
    fake = WITHOUT[which]
    reply = ask(fake, tmp_path, BASE64)
    assert reply.status == 200, reply.body
    assert (fake.images(), fake.placeholders()) == ([], 0)
    assert "replaced=image@messages.0.content.1" in reply.headers[NOTES]


@pytest.mark.parametrize(("sees", "images"), [(True, 1), (False, 0), (None, 0)])
def test_a_model_by_another_name_sees_if_the_server_says_so(
    sees: bool | None, images: int, tmp_path: Path
) -> None:
    fake = TokenServerFake("sglang", model="my-finetune", sees=sees)
    ask(fake, tmp_path, BASE64, encoding="v4.1")
    assert len(fake.images()) == images


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"type": "file", "file_id": "file_1"}, "send it as base64 or url"),
        ({"type": "url", "url": "http:/etc/passwd"}, "data:, http:// or https://"),
        ({"type": "url", "url": "file:///etc/passwd"}, "Unsupported image_url"),
        ({"type": "url", "url": "/etc/passwd"}, "Unsupported image_url"),
    ],
)
def test_what_only_another_machine_could_read_is_refused(
    source: dict[str, Any], said: str, tmp_path: Path
) -> None:
    fake = TokenServerFake("sglang")
    reply = ask(fake, tmp_path, image(**source))
    status, kind, message = reply.error()
    assert (status, kind) == (400, "invalid_request_error")
    assert said in message
    assert fake.asked == []


def test_images_count_against_the_window(tmp_path: Path) -> None:
    fake = TokenServerFake("sglang")
    reply = ask(fake, tmp_path, BASE64, context_window=PICTURE_TOKENS)
    assert reply.error()[0] == 400
    assert "prompt is too long" in reply.error()[2]
    assert fake.asked == []
