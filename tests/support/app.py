"""The application on a fake upstream, over real HTTP."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepseek_messages.settings import AuthSettings, ServerSettings, Settings, UpstreamSettings
from deepseek_messages.web.app import create_app
from deepseek_messages.web.protocol import bounded_protocol
from tests.support.asgi import RunningApp, serve_app
from tests.support.client import Client
from tests.support.fake import FakeUpstream


@dataclass(frozen=True)
class Served:
    """A running application and what a test wants of it."""

    app: RunningApp
    client: Client
    upstream: FakeUpstream
    state: Path  # where the application keeps its files


def settings_for(
    state: Path,
    *,
    server: dict[str, Any] | None = None,
    auth: dict[str, Any] | None = None,
    **more: Any,
) -> Settings:
    """Settings that keep their files in ``state``; open unless ``auth`` says otherwise."""
    return Settings(
        server=ServerSettings(**(server or {})),
        auth=AuthSettings(**(auth or {"mode": "open"})),
        upstream=more.pop("upstream", UpstreamSettings(kind="double")),
        state_dir=state,
        cache_dir=state,
        **more,
    )


@contextmanager
def served(
    upstream: FakeUpstream | None = None,
    *,
    headers: dict[str, str] | None = None,
    server_options: dict[str, Any] | None = None,
    state: Path | None = None,
    **settings: Any,
) -> Iterator[Served]:
    """Serve the application on ``upstream``; further arguments go to ``settings_for``. Its files
    are in ``state``, else in a directory that ends with the block.
    """
    upstream = upstream or FakeUpstream()
    with nullcontext(state) if state else tempfile.TemporaryDirectory() as directory:
        made = settings_for(Path(directory), **settings)
        app = create_app(made, upstream=upstream)
        protocol = bounded_protocol(write_timeout=made.server.write_timeout)
        options = {"http": protocol, "proxy_headers": False} | (server_options or {})
        with serve_app(app, **options) as running:
            client = Client(running.host, running.port, headers)
            yield Served(running, client, upstream, Path(directory))
