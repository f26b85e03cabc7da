"""Chat servers as they answer, without their models: their other paths, and frames in their shapes.

Sources: ollama openai/openai.go (``ToChunk``, ``NewError``) and middleware/openai.go; vLLM
entrypoints/openai/chat_completion/{protocol,serving}.py; SGLang srt/entrypoints/openai/
{protocol,serving_chat}.py.
"""

import json
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deepseek_messages.settings import AuthSettings, Settings, UpstreamSettings
from deepseek_messages.upstreams.double import Double
from deepseek_messages.web.app import create_app
from tests.conformance.rig import Rig
from tests.support.servers import serve_app

JSON = dict[str, Any]


class Recorded:
    """A server that has ``paths`` (answered with their JSON) and plays one answer per chat."""

    def __init__(self, owner: str, model: str, paths: dict[str, Any]) -> None:
        card = {"id": model, "object": "model", "created": 1788998400, "owned_by": owner}
        self.model = model
        self.paths = {"/v1/models": {"object": "list", "data": [card]}, **paths}
        self.answers: deque[Response] = deque()
        self.asked: list[JSON] = []

    def play(self, *frames: JSON | str) -> None:
        """A stream of these frames."""
        data = [each if isinstance(each, str) else json.dumps(each) for each in frames]
        body = "".join(f"data: {each}\n\n" for each in data)
        self.answers.append(Response(body, media_type="text/event-stream"))

    def answer(self, body: JSON, status: int = 200) -> None:
        """A whole answer."""
        self.answers.append(JSONResponse(body, status))

    def app(self) -> Starlette:
        async def chat(request: Request) -> Response:
            self.asked.append(await request.json())
            return self.answers.popleft()

        def other(request: Request) -> Response:
            return JSONResponse(self.paths[request.url.path])

        return Starlette(
            routes=[
                Route("/v1/chat/completions", chat, methods=["POST"]),
                *(Route(path, other, methods=["GET", "POST"]) for path in self.paths),
            ]
        )


@contextmanager
def serving_on(recorded: Recorded, state: Path) -> Iterator[Rig]:
    """Our server in front of it; which server it is, it has to find out."""
    with serve_app(recorded.app()) as upstream, serving_at(upstream.url, state) as rig:
        yield rig


@contextmanager
def serving_at(url: str, state: Path, **options: Any) -> Iterator[Rig]:
    """Our server in front of the chat server at ``url``."""
    upstream = UpstreamSettings(kind="chat", base_url=url, proxy_from_env=False, **options)
    auth = AuthSettings(mode="open")
    settings = Settings(upstream=upstream, auth=auth, state_dir=state, cache_dir=state)
    with serve_app(create_app(settings)) as running:
        yield Rig(Double(), running.url)


def chunk(model: str, choices: Iterable[JSON], **more: Any) -> JSON:
    return {
        "id": "chatcmpl-123",
        "object": "chat.completion.chunk",
        "created": 1788998400,
        "model": model,
        "choices": list(choices),
        **more,
    }
