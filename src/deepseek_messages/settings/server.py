"""Where the server listens, and who may use it: ``[server]``, ``[auth]``."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from deepseek_messages.settings.values import Count, Port, Seconds
from deepseek_messages.translation import limits

AuthMode = Literal["pass-through", "keys", "open"]

Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class ServerSettings(Struct, frozen=True, kw_only=True):
    """Where the server listens and what it allows itself."""

    host: Annotated[
        str, Meta(description="Address to listen on. Anything but loopback asks for keys.")
    ] = "127.0.0.1"
    port: Annotated[Port, Meta(description="TCP port; 0 takes a free one.")] = 8000
    workers: Annotated[
        Count,
        Meta(
            description="Processes that serve, one for each core to be used. Limits of requests "
            "at a time hold for all of them together; metrics and the health of upstreams are each "
            "process's own. A model inside the process is served by one."
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
