"""Where tokens come from: ``[upstream]``, ``[[upstreams]]``, ``[pool]``, and the models."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from deepseek_messages.settings.secret import Secret
from deepseek_messages.settings.values import Count, Seconds
from deepseek_messages.translation import limits

# DeepSeek API reference, "Your First API Call": base_url for the OpenAI format.
DEEPSEEK_URL = "https://api.deepseek.com"

UpstreamKind = Literal["embedded", "chat", "tokens", "double"]
TokenServer = Literal["vllm", "sglang", "llama.cpp"]

Priority = Annotated[int, Meta(ge=0)]


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
    idle_timeout: Annotated[
        Seconds,
        Meta(
            description="Longest silence within an answer; one in a single piece has as long for "
            "all that follows its first byte."
        ),
    ] = limits.IDLE_TIMEOUT
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
    max_concurrency: Annotated[
        Count | None,
        Meta(
            description="Most requests there at a time; absent: no limit, for DeepSeek's API its "
            "account limits by model (2500 flash, 500 pro)."
        ),
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
        float,
        Meta(gt=0, le=1_000_000, description="Its part of the load among those of its priority."),
    ] = 1.0
    priority: Annotated[
        Priority | None,
        Meta(
            description="Lower numbers are asked first; absent: 0, for embedded 1000 (the last "
            "resort).",
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
    silence_after: Annotated[
        float,
        Meta(
            ge=0,
            description="Seconds without a word to anybody, though streamed requests wait there, "
            "after which new requests go to other upstreams; 0: never.",
        ),
    ] = limits.SILENCE_AFTER
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
