"""The application: the only place where the parts are joined."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.types import ASGIApp

from deepseek_messages.service.admission import Admission
from deepseek_messages.service.answerer import Answerer
from deepseek_messages.service.count import CountTokens
from deepseek_messages.service.counting import Counter
from deepseek_messages.service.documents import DocumentReader
from deepseek_messages.service.editing import ContextEditor
from deepseek_messages.service.hosting import NO_HOSTING, Hosting, HostingSwitch
from deepseek_messages.service.models import ModelDirectory
from deepseek_messages.service.tasks import spawn, stop
from deepseek_messages.settings import Settings, Source
from deepseek_messages.store.keys import KEYS_FILE, KeyFile, Keyring, private_bytes
from deepseek_messages.telemetry.logs import log
from deepseek_messages.telemetry.metrics import Metrics
from deepseek_messages.translation.seal import Seal
from deepseek_messages.upstreams.base import Upstream
from deepseek_messages.upstreams.places import Places
from deepseek_messages.upstreams.switch import Switch
from deepseek_messages.web.count import CountHandler
from deepseek_messages.web.front import Front
from deepseek_messages.web.guard import Access, Guard
from deepseek_messages.web.health import ReadyHandler, alive, hello
from deepseek_messages.web.ids import message_id
from deepseek_messages.web.messages import MessagesHandler
from deepseek_messages.web.metrics import MetricsHandler
from deepseek_messages.web.models import ModelHandler, ModelsHandler
from deepseek_messages.web.openapi import OpenApiHandler
from deepseek_messages.web.reload import Reloader
from deepseek_messages.web.routes import Door, Endpoint, router
from deepseek_messages.web.streaming import Pace
from deepseek_messages.web.upstreams import Progress, Shelf, make_upstream

SEAL_FILE = "seal.key"
SEAL_BYTES = 64

# For want of a place to keep one: made when this is loaded, so that workers, who are forked
# later, open each other's seals.
_UNKEPT = secrets.token_bytes(SEAL_BYTES)


def create_app(
    settings: Settings,
    *,
    upstream: Upstream | None = None,
    progress: Progress | None = None,
    source: Source | None = None,
    places: Places | None = None,
) -> ASGIApp:
    """The ASGI application for ``settings``. Its lifespan starts and closes the upstream, which
    may be given instead of being made from the settings; ``progress`` hears how a model loads.
    With a ``source`` the settings are read again when they change. ``places`` are those of a
    server that has other processes, too.
    Raises ``KeyFileError`` for an unusable file of keys, ``ValueError`` or ``ModelError`` for an
    upstream that cannot be made.
    """
    shelf = Shelf(progress, places)
    parts = Parts(settings, upstream or make_upstream(settings, shelf), shelf.places)
    if source is not None:
        parts.reload_from(source, shelf)
    endpoints = parts.endpoints()
    return Front(
        router(endpoints, parts.guard, parts.lifespan),
        parts.guard,
        parts.metrics,
        messages=Door(endpoints[0], parts.guard),
        handler=parts.messages,
    )


class Parts:
    """What the application is made of. Made once, in the order of the layers."""

    def __init__(
        self, settings: Settings, upstream: Upstream, places: Places | None = None
    ) -> None:
        server, models = settings.server, settings.models
        self.settings = settings
        self.metrics = Metrics()
        self.upstream = upstream = Switch(upstream, self.metrics.attempt)
        self.reloader: Reloader | None = None
        self.seal = seal = Seal(_seal_key(settings.state_dir))
        self.documents = documents = DocumentReader(settings.documents)
        self.tools = HostingSwitch(_hosting(settings, seal, documents))
        self.counter = Counter(seal=seal, upstream=upstream)
        editor = ContextEditor(self.counter)
        self.count = CountTokens(
            upstream=upstream,
            counter=self.counter,
            documents=documents,
            editor=editor,
            default_model=models.default,
            aliases=models.aliases,
            strict=settings.strict,
            hosting=self.tools,
        )
        self.answerer = Answerer(
            upstream=upstream,
            seal=seal,
            counter=self.counter,
            documents=documents,
            editor=editor,
            admission=Admission(server.max_concurrency, server.max_concurrency_per_key, places),
            message_id=message_id,
            default_model=models.default,
            aliases=models.aliases,
            strict=settings.strict,
            hosting=self.tools,
        )
        self.directory = ModelDirectory(upstream, models.aliases)
        self.guard = Guard(
            mode=settings.auth_mode,
            keyring=keyring_of(settings),
            host=server.host,
            allowed_hosts=server.allowed_hosts,
            allowed_origins=server.allowed_origins,
            metrics_key=settings.telemetry.metrics_key,
        )

    def reload_from(self, source: Source, shelf: Shelf) -> None:
        """Read the settings again whenever ``source`` changes."""
        self.reloader = Reloader(
            self.settings,
            source,
            switch=self.upstream,
            guard=self.guard,
            tools=self.tools,
            make=lambda settings: make_upstream(settings, shelf),
            keyring=keyring_of,
            hosting=lambda settings: _hosting(settings, self.seal, self.documents),
        )

    def endpoints(self) -> list[Endpoint]:
        """Every route there is."""
        server = self.settings.server
        pace = Pace(commit_after=server.commit_after, ping_interval=server.ping_interval)
        limit = server.max_body_bytes
        self.messages = messages = MessagesHandler(
            self.answerer, max_body_bytes=limit, pace=pace, metrics=self.metrics
        )
        count = CountHandler(self.count, max_body_bytes=limit)
        get, post = ("GET",), ("POST",)
        described = OpenApiHandler()
        endpoints = [
            Endpoint(post, "/v1/messages", Access.CALLER, messages),
            Endpoint(post, "/v1/messages/count_tokens", Access.CALLER, count),
            Endpoint(get, "/v1/models", Access.CALLER, ModelsHandler(self.directory)),
            Endpoint(get, "/v1/models/{id:path}", Access.CALLER, ModelHandler(self.directory)),
            Endpoint(get, "/", Access.PUBLIC, hello),
            Endpoint(get, "/api/hello", Access.PUBLIC, hello),
            Endpoint(get, "/healthz", Access.PUBLIC, alive),
            Endpoint(get, "/readyz", Access.PUBLIC, ReadyHandler(self.upstream, self.guard)),
            Endpoint(
                get, "/metrics", Access.OPERATOR, MetricsHandler(self.metrics, self.upstream.states)
            ),
            Endpoint(get, "/openapi.json", Access.PUBLIC, described),
        ]
        described.describe(endpoints)
        return endpoints

    @asynccontextmanager
    async def lifespan(self, _app: object) -> AsyncIterator[None]:
        """Start the upstream, and release everything in the end."""
        watching = None
        try:
            await self.upstream.start()
            if self.reloader is not None:
                watching = spawn(self.reloader.watch(), "watch-settings")
            yield
        finally:
            if watching is not None:
                await stop(watching)
            await self.upstream.aclose()
            await self.counter.aclose()


def keys_file_of(settings: Settings) -> KeyFile:
    """The file of this server's keys."""
    return KeyFile(settings.auth.keys_file or settings.state_dir / KEYS_FILE)


def keyring_of(settings: Settings) -> Keyring:
    """The keys that may be used. Raises ``KeyFileError``."""
    if settings.auth_mode != "keys":
        return Keyring()
    return Keyring(settings.auth.key_digests, keys_file_of(settings))


def _hosting(settings: Settings, seal: Seal, documents: DocumentReader) -> Hosting:
    """The server tools that the settings allow."""
    tools = settings.tools
    if tools.web_search == "off" and tools.web_fetch == "off" and not tools.mcp_hosts:
        return NO_HOSTING
    # Its HTTP library takes longer to load than the rest of the server.
    from deepseek_messages.service.tool_host import ToolHost  # noqa: PLC0415

    key = settings.upstream.api_key
    return ToolHost(
        tools,
        seal=seal,
        upstream_url=settings.upstream.base_url,
        upstream_key=key.reveal() if key else None,
        documents=documents,
    )


def _seal_key(state_dir: Path) -> bytes:
    """The key of our signatures. Without a place to keep it, signatures last as long as the
    program, and all its workers have the same.
    """
    try:
        return private_bytes(state_dir / SEAL_FILE, SEAL_BYTES)
    except OSError as error:
        log().warning("seal key is not kept", why=type(error).__name__, directory=str(state_dir))
        return _UNKEPT
