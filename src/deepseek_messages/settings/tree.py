"""The whole tree of settings, a file for each group of its tables.

Each setting stands with the sentence that the reference page shows for it. Sizes are in bytes,
times in seconds, contexts in tokens. The numbers' precedents stand in ``translation.limits``.
"""

from pathlib import Path
from typing import Annotated, Literal

import platformdirs
from msgspec import Meta, Struct, field

from deepseek_messages.settings.addresses import is_loopback, split_url
from deepseek_messages.settings.documents import DocumentsSettings
from deepseek_messages.settings.server import AuthMode, AuthSettings, ServerSettings
from deepseek_messages.settings.telemetry import LogSettings, TelemetrySettings
from deepseek_messages.settings.tools import ToolsSettings
from deepseek_messages.settings.upstreams import (
    EmbeddedSettings,
    MemberSettings,
    ModelsSettings,
    PoolSettings,
    UpstreamKind,
    UpstreamSettings,
)

APP_NAME = "deepseek-messages"


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
