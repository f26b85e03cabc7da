"""The settings themselves, each with the sentence that the reference page shows for it.

Sizes are in bytes, times in seconds, contexts in tokens. The numbers' precedents stand in
``translation.limits``.
"""

import ipaddress
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit

import platformdirs
from msgspec import Meta, Struct, field

from deepseek_messages.settings.secret import Secret
from deepseek_messages.translation import limits

APP_NAME = "deepseek-messages"

# DeepSeek API reference, "Your First API Call": base_url for the OpenAI format.
DEEPSEEK_URL = "https://api.deepseek.com"

UpstreamKind = Literal["embedded", "chat", "tokens", "double"]
TokenServer = Literal["vllm", "sglang", "llama.cpp"]
AuthMode = Literal["pass-through", "keys", "open"]
LogLevel = Literal["debug", "info", "warning", "error"]

Port = Annotated[int, Meta(ge=0, le=65535)]
Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Priority = Annotated[int, Meta(ge=0)]
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server bound to ``host`` (a name or an address)."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def split_url(url: str) -> SplitResult | None:
    """The parts of an http or https URL with a host; ``None`` for anything else."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a bracket that is left open, a port that is no number
        return None
    return parts if valid else None


class ServerSettings(Struct, frozen=True, kw_only=True):
    """Where the server listens and what it allows itself."""

    host: Annotated[
        str, Meta(description="Address to listen on. Anything but loopback asks for keys.")
    ] = "127.0.0.1"
    port: Annotated[Port, Meta(description="TCP port; 0 takes a free one.")] = 8000
    workers: Annotated[
        Count,
        Meta(
            description="Processes that serve, one for each core to be used. Limits and metrics "
            "are each process's own; a model inside the process is served by one."
        ),
    ] = 1
    allowed_hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="Names besides the loopback ones that a request's Host may carry on a "
            "loopback bind (a name behind a tunnel or reverse proxy)."
        ),
    ] = ()
    allowed_origins: Annotated[
        tuple[str, ...],
        Meta(description="Origins of web pages that may call the API from a browser."),
    ] = ()
    max_body_bytes: Annotated[
        Count, Meta(description="Largest request body; a larger one is answered 413.")
    ] = limits.MAX_BODY_BYTES
    ping_interval: Annotated[
        Seconds, Meta(description="Silence on a stream after which a ping event is sent.")
    ] = limits.PING_INTERVAL
    commit_after: Annotated[
        Seconds,
        Meta(
            description="How long a stream's status is held back for the upstream's own; after "
            "that the answer starts and an upstream fault becomes an error event."
        ),
    ] = limits.COMMIT_AFTER
    drain_seconds: Annotated[
        Seconds, Meta(description="How long running answers may go on after a stop signal.")
    ] = 30.0
    max_concurrency: Annotated[
        Count, Meta(description="Answers made at one time; more are refused with 529.")
    ] = 1000
    max_concurrency_per_key: Annotated[
        int,
        Meta(
            ge=0,
            description="Answers made at one time for one key; more are refused with 429. 0: as "
            "many as `max_concurrency`.",
        ),
    ] = 0
    write_timeout: Annotated[
        Seconds,
        Meta(
            description="How long a client may take no byte of its answer; then its connection is "
            "cut and the upstream stopped."
        ),
    ] = limits.WRITE_TIMEOUT


class AuthSettings(Struct, frozen=True, kw_only=True):
    """Who may use the server."""

    mode: Annotated[
        AuthMode | Literal["auto"],
        Meta(
            description="pass-through: the caller's own key goes to the upstream. keys: callers "
            "need a key of this server. open: no key. auto: keys when the server holds "
            "the upstream's key or a list of keys, open for embedded and double, otherwise "
            "pass-through."
        ),
    ] = "auto"
    key_digests: Annotated[
        tuple[Digest, ...],
        Meta(description="SHA-256 digests (64 hexadecimal digits) of the keys that may be used."),
    ] = ()
    keys_file: Annotated[
        Path | None,
        Meta(description="File of keys made by this server; absent: `keys` in `state_dir`."),
    ] = None


class UpstreamSettings(Struct, frozen=True, kw_only=True):
    """Where tokens come from."""

    kind: Annotated[
        UpstreamKind | Literal["auto"],
        Meta(
            description="embedded: a model in this process. chat: a chat completions server. "
            "tokens: a server that is given DeepSeek's own prompt as token ids. double: a stand-in "
            "for DeepSeek's API that needs neither model nor network. auto: "
            "chat when a key or a base URL is set, otherwise embedded."
        ),
    ] = "auto"
    base_url: Annotated[
        str | None,
        Meta(description="Base URL of the chat server; absent: DeepSeek's API."),
    ] = None
    api_key: Annotated[
        Secret | None,
        Meta(description="Key for the chat server; callers then need a key of this server."),
    ] = None
    dialect: Annotated[
        str,
        Meta(description="Which chat server it is; auto: told from the URL and its answers."),
    ] = "auto"
    model: Annotated[
        str | None,
        Meta(description="Model to ask the chat server for; absent: its best known one."),
    ] = None
    connect_timeout: Annotated[
        Seconds, Meta(description="Longest wait for a connection to the chat server.")
    ] = limits.CONNECT_TIMEOUT
    first_byte_timeout: Annotated[
        Seconds, Meta(description="Longest wait for the first byte of an answer.")
    ] = limits.FIRST_BYTE_TIMEOUT
    idle_timeout: Annotated[Seconds, Meta(description="Longest silence within an answer.")] = (
        limits.IDLE_TIMEOUT
    )
    proxy_from_env: Annotated[
        bool, Meta(description="Obey HTTPS_PROXY, HTTP_PROXY and NO_PROXY.")
    ] = True
    server: Annotated[TokenServer, Meta(description="For tokens: which server it is.")] = "vllm"
    encoding: Annotated[
        Literal["auto", "v4", "v4.1"],
        Meta(description="For tokens: the model's prompt encoding; auto: told from its name."),
    ] = "auto"
    context_window: Annotated[
        Count | None,
        Meta(description="The model's context in tokens; absent: what the server says."),
    ] = None

    @property
    def url(self) -> str:
        """The chat server's base URL."""
        return (self.base_url or DEEPSEEK_URL).rstrip("/")


class MemberSettings(UpstreamSettings, frozen=True, kw_only=True):
    """One of several upstreams: an ``[[upstreams]]`` table."""

    name: Annotated[
        str,
        Meta(
            pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
            description="Its name in logs, metrics and /readyz; each has its own.",
        ),
    ]
    api_key_env: Annotated[
        str | None, Meta(description="Variable of the environment that holds its key.")
    ] = None
    weight: Annotated[
        float, Meta(gt=0, description="Its part of the load among those of its priority.")
    ] = 1.0
    priority: Annotated[
        Priority | None,
        Meta(
            description="Lower numbers are asked first; absent: 0, for embedded 1000 (the last "
            "resort).",
        ),
    ] = None
    max_concurrency: Annotated[
        Count | None,
        Meta(
            description="Most requests there at a time; absent: no limit, for DeepSeek's API its "
            "account limits by model (2500 flash, 500 pro)."
        ),
    ] = None

    @property
    def resolved_kind(self) -> UpstreamKind:
        """What ``auto`` comes to among several: a chat server."""
        return "chat" if self.kind == "auto" else self.kind


class PoolSettings(Struct, frozen=True, kw_only=True):
    """How several upstreams (``[[upstreams]]``) are used."""

    attempts: Annotated[
        Count, Meta(description="Most tries of one request, before anything reached the client.")
    ] = 3
    hedge_after: Annotated[
        float,
        Meta(
            ge=0,
            description="Seconds of silence after which a streamed request is also sent to a "
            "second upstream of the same priority, and the first to speak answers; 0: never. Both "
            "may bill it.",
        ),
    ] = 0.0
    probe_interval: Annotated[
        Seconds, Meta(description="How often an upstream that is idle or left out is looked at.")
    ] = 10.0
    failures: Annotated[
        Count, Meta(description="Failures in a row after which an upstream is left out.")
    ] = 3
    cooldown: Annotated[
        Seconds,
        Meta(description="How long it is left out at first; doubled each time it fails again."),
    ] = 5.0
    return_time: Annotated[
        Seconds, Meta(description="How long one that is back takes to get its whole share again.")
    ] = 30.0


class EmbeddedSettings(Struct, frozen=True, kw_only=True):
    """The model inside the process."""

    model: Annotated[
        str,
        Meta(
            description="smollm2 (comes through the package index), a path of a GGUF file, or "
            "hf:OWNER/REPO[:FILE]."
        ),
    ] = "smollm2"
    context: Annotated[
        int, Meta(ge=0, description="Context per request in tokens; 0: the model's own.")
    ] = 0
    slots: Annotated[Count, Meta(description="Answers made at the same time.")] = 4
    threads: Annotated[int, Meta(ge=0, description="Threads; 0: one for each core.")] = 0
    queue: Annotated[
        int, Meta(ge=0, description="Requests that may wait for a slot; more are refused with 529.")
    ] = 64


class ModelsSettings(Struct, frozen=True, kw_only=True):
    """Names that callers use."""

    default: Annotated[str, Meta(description="What unknown model names are taken for.")] = (
        "deepseek-chat"
    )
    aliases: Annotated[
        dict[str, str], Meta(description="Further names, each with the name it stands for.")
    ] = {}


class DocumentsSettings(Struct, frozen=True, kw_only=True):
    """How PDF documents are read."""

    pdf: Annotated[
        Literal["text", "images"],
        Meta(
            description="What the model gets of a PDF: the text of its pages, or pictures of them "
            "where the model sees. Documents with citations are always read as text."
        ),
    ] = "text"
    max_pages: Annotated[
        Count, Meta(description="Most PDF pages of one request; more are answered 400.")
    ] = limits.MAX_PDF_PAGES
    timeout: Annotated[Seconds, Meta(description="Longest time that reading one PDF may take.")] = (
        limits.PDF_TIMEOUT
    )
    memory_bytes: Annotated[
        Count, Meta(description="Memory that the process which reads a PDF may take.")
    ] = limits.PDF_MEMORY_BYTES
    workers: Annotated[Count, Meta(description="PDF documents that are read at the same time.")] = 2


class ToolsSettings(Struct, frozen=True, kw_only=True):
    """The tools that this server runs inside answers. All of them reach out of it, so all are off
    unless they are asked for.
    """

    web_search: Annotated[
        Literal["off", "deepseek", "searxng", "tavily", "brave"],
        Meta(
            description="Who searches for web_search_*. deepseek: DeepSeek's own endpoint, with "
            "the upstream's key. off: such tools are left out with a note."
        ),
    ] = "off"
    web_search_url: Annotated[
        str | None,
        Meta(description="Base URL of the search service; needed for searxng."),
    ] = None
    web_search_key: Annotated[
        Secret | None, Meta(description="Key for the search service; needed for tavily and brave.")
    ] = None
    web_fetch: Annotated[
        Literal["off", "direct", "deepseek"],
        Meta(
            description="Who reads pages for web_fetch_*. direct: this server, which reaches "
            "public addresses only. deepseek: DeepSeek's own endpoint. off: such tools are left "
            "out with a note."
        ),
    ] = "off"
    mcp_hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="Hosts of MCP servers that requests may name in mcp_servers; empty: "
            "mcp_servers is left out with a note. Needs the extra `mcp`."
        ),
    ] = ()
    allow_private: Annotated[
        bool,
        Meta(
            description="Let pages and MCP servers be read at addresses inside this network, over "
            "plain HTTP too. For tests and closed networks only."
        ),
    ] = False
    timeout: Annotated[
        Seconds, Meta(description="Longest time that one search, page or MCP call may take.")
    ] = 30.0


class LogSettings(Struct, frozen=True, kw_only=True):
    """What is logged, to standard error."""

    level: Annotated[LogLevel, Meta(description="Least severe entries that are written.")] = "info"
    format: Annotated[
        Literal["auto", "console", "json"],
        Meta(description="auto: console on a terminal, otherwise json (one object a line)."),
    ] = "auto"


class TelemetrySettings(Struct, frozen=True, kw_only=True):
    """What is measured."""

    metrics_key: Annotated[
        Secret | None,
        Meta(description="Key with which /metrics may be read from other machines."),
    ] = None


class Settings(Struct, frozen=True, kw_only=True):
    """The whole tree. ``upstream_kind`` and ``auth_mode`` say what ``auto`` comes to."""

    server: ServerSettings = ServerSettings()
    auth: AuthSettings = AuthSettings()
    upstream: UpstreamSettings = UpstreamSettings()
    upstreams: tuple[MemberSettings, ...] = ()
    pool: PoolSettings = PoolSettings()
    embedded: EmbeddedSettings = EmbeddedSettings()
    models: ModelsSettings = ModelsSettings()
    documents: DocumentsSettings = DocumentsSettings()
    tools: ToolsSettings = ToolsSettings()
    log: LogSettings = LogSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    strict: Annotated[
        bool,
        Meta(description="Refuse with 400 what would otherwise be dropped or replaced by a note."),
    ] = False
    reload_interval: Annotated[
        float,
        Meta(
            ge=0,
            description="How often the settings file is looked at for changes; 0: never, only "
            "SIGHUP reads it again.",
        ),
    ] = 5.0
    state_dir: Annotated[Path, Meta(description="Where keys and other records are kept.")] = field(
        default_factory=lambda: platformdirs.user_state_path(APP_NAME)
    )
    cache_dir: Annotated[Path, Meta(description="Where model files are kept; safe to delete.")] = (
        field(default_factory=lambda: platformdirs.user_cache_path(APP_NAME))
    )

    @property
    def upstream_kind(self) -> UpstreamKind | Literal["pool"]:
        """The kind of upstream in use; pool: several."""
        if self.upstreams:
            return "pool"
        if self.upstream.kind != "auto":
            return self.upstream.kind
        configured = self.upstream.base_url or self.upstream.api_key
        return "chat" if configured else "embedded"

    @property
    def auth_mode(self) -> AuthMode:
        """How callers show who they are."""
        if self.auth.mode != "auto":
            return self.auth.mode
        kind = self.upstream_kind
        if kind == "pool":
            return "open" if self.serves_itself and not self.auth.key_digests else "keys"
        chat = kind in ("chat", "tokens")
        if self.auth.key_digests or self.auth.keys_file or (chat and self.upstream.api_key):
            return "keys"
        return "pass-through" if chat else "open"

    @property
    def serves_itself(self) -> bool:
        """Whether no other server is asked."""
        kinds: set[str] = {member.resolved_kind for member in self.upstreams}
        return (kinds or {self.upstream_kind}) <= {"embedded", "double"}

    @property
    def public(self) -> bool:
        """Whether other machines can reach the server."""
        return not is_loopback(self.server.host)

    @property
    def upstream_is_local(self) -> bool:
        """Whether the chat server runs on this machine."""
        parts = split_url(self.upstream.url)
        return parts is not None and is_loopback(parts.hostname or "")
