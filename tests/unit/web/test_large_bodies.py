"""Large bodies are put together and read by a thread, so that the event loop goes on."""

import asyncio
from typing import Any

import pytest

from deepseek_messages.service import answerer
from deepseek_messages.web import bodies, count, messages
from tests.support.app import served
from tests.support.client import HELLO

PATHS = {"/v1/messages": messages, "/v1/messages/count_tokens": count}


def on_the_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@pytest.mark.parametrize("large", [True, False], ids=["large", "small"])
@pytest.mark.parametrize(("path", "module"), PATHS.items(), ids=PATHS)
def test_a_large_body_is_read_by_a_thread(
    monkeypatch: pytest.MonkeyPatch, path: str, module: Any, large: bool
) -> None:
    places: list[bool] = []  # of each reading
    parse = module.parse_request

    def watched(*arguments: Any, **options: Any) -> Any:
        places.append(on_the_loop())
        return parse(*arguments, **options)

    monkeypatch.setattr(module, "parse_request", watched)
    monkeypatch.setattr(module, "LARGE_BODY", 10 if large else 10_000)
    with served() as s:
        assert s.client.post(HELLO, path).status == 200
    assert set(places) == {not large}


@pytest.mark.parametrize("most", [0, 10_000], ids=["large", "small"])
def test_a_body_in_pieces_is_put_together(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(bodies, "LARGE_BODY", most)
    body = HELLO | {"metadata": {"user_id": "x" * 500_000}}
    with served() as s:
        assert s.client.post(body).status == 200


@pytest.mark.parametrize(("parts", "by_thread"), [(3_000, True), (30, False)])
def test_a_request_of_many_parts_is_translated_by_a_thread(
    monkeypatch: pytest.MonkeyPatch, parts: int, by_thread: bool
) -> None:
    places: list[bool] = []
    translate = answerer.to_chat

    def watched(*arguments: Any, **options: Any) -> Any:
        places.append(on_the_loop())
        return translate(*arguments, **options)

    monkeypatch.setattr(answerer, "to_chat", watched)
    content = [{"type": "text", "text": "x" * (90_000 // parts)}] * parts
    with served() as s:
        assert s.client.post({**HELLO, "messages": [{"role": "user", "content": content}]}).status
    assert set(places) == {not by_thread}
