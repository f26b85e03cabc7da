"""The upstream that the settings ask for.

Each kind is imported when it is asked for: an engine, a tokenizer or a second server takes memory
and time that a server without them should not spend.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec.structs import replace

from deepseek_messages.settings import EmbeddedSettings, MemberSettings, Settings, UpstreamSettings
from deepseek_messages.store.models import LocalModel, ModelStore
from deepseek_messages.translation.catalogue import Model
from deepseek_messages.translation.dialects import DEEPSEEK, DIALECTS, Dialect, by_host
from deepseek_messages.upstreams.account import DEEPSEEK_LIMITS, Account, Limited
from deepseek_messages.upstreams.base import ChatStream, Readiness, Upstream, UpstreamCall
from deepseek_messages.upstreams.chat.upstream import ChatHttpUpstream
from deepseek_messages.upstreams.places import OwnPlaces, Places
from deepseek_messages.upstreams.pool.breaker import BreakerLimits
from deepseek_messages.upstreams.pool.member import Place
from deepseek_messages.upstreams.pool.pool import Pool, PoolOptions
from deepseek_messages.upstreams.switch import Shared

if TYPE_CHECKING:
    from deepseek_messages.upstreams.tokens.upstream import TokensHttpUpstream

# The priority of the embedded model among several upstreams, unless the settings say another.
LAST_RESORT = 1000

# The double takes any key but none.
DOUBLE_KEY = "sk-double"


# Called from another thread with a step ("download", "load"), what is done and what there is.
Progress = Callable[[str, int, int], None]


class Shelf:
    """Keeps what outlives a change of settings: the embedded model that is in memory, for settings
    that want the same one again, and the ``places`` that running requests hold.
    """

    def __init__(self, progress: Progress | None = None, places: Places | None = None) -> None:
        self.places = places or OwnPlaces()
        self._progress = progress or _silent
        self._wishes: EmbeddedSettings | None = None
        self._shared: Shared | None = None

    def embedded(self, settings: Settings) -> Upstream:
        """The embedded model of ``settings``. Raises ``ModelError``."""
        if self._shared is None or not self._shared.in_use or self._wishes != settings.embedded:
            self._shared = Shared(_embedded_upstream(settings, self._progress))
            self._wishes = settings.embedded
        return self._shared.lend()


def make_upstream(settings: Settings, shelf: Shelf | None = None) -> Upstream:
    """Raises ``ValueError`` or ``ModelError``, in words for the person who wrote the settings."""
    shelf = shelf or Shelf()
    if settings.upstream_kind == "pool":
        return make_pool(settings, shelf)
    if settings.upstream_kind == "embedded":
        _refuse_absent(settings)
    upstream = _bare(settings, shelf)
    wishes = settings.upstream
    most, limits = wishes.max_concurrency, _account_limits(settings.upstream_kind, wishes)
    if most is None and not limits:
        return upstream
    # Callers who bring their own keys have accounts of their own.
    name = _account(wishes) if settings.auth_mode != "pass-through" else ""
    return Limited(upstream, Account(name, limits, shelf.places), shelf.places, most)


def _bare(settings: Settings, shelf: Shelf) -> Upstream:
    """One upstream, without limits."""
    match settings.upstream_kind:
        case "chat":
            return chat_upstream(settings.upstream)
        case "double":
            return DoubleUpstream()
        case "embedded":
            return shelf.embedded(settings)
        case "tokens":
            return tokens_upstream(settings.upstream)
        case "pool":
            raise ValueError("upstreams: a pool is no member of another one")


def make_pool(settings: Settings, shelf: Shelf | None = None) -> Pool:
    """Several upstreams as one. Raises as ``make_upstream``."""
    shelf = shelf or Shelf()
    wishes = settings.pool
    options = PoolOptions(
        attempts=wishes.attempts,
        hedge_after=wishes.hedge_after,
        silence_after=wishes.silence_after,
        probe_interval=wishes.probe_interval,
        breaker=BreakerLimits(
            failures=wishes.failures, cooldown=wishes.cooldown, return_time=wishes.return_time
        ),
    )
    # Embedded ones last: what the shelf lent is not given back when another cannot be made.
    made = {
        member.name: _member_upstream(settings, member, shelf)
        for member in sorted(settings.upstreams, key=lambda each: each.resolved_kind == "embedded")
    }
    members = [(each.name, made[each.name], _place(each)) for each in settings.upstreams]
    return Pool(members, options, places=shelf.places)


def _member_upstream(settings: Settings, member: MemberSettings, shelf: Shelf) -> Upstream:
    try:
        alone = replace(settings, upstreams=(), upstream=replace(member, kind=member.resolved_kind))
        return _bare(alone, shelf)
    except ValueError as error:
        raise ValueError(f"upstreams, {member.name}: {error}") from error


def _place(member: MemberSettings) -> Place:
    kind = member.resolved_kind
    last = LAST_RESORT if kind == "embedded" else 0
    return Place(
        priority=last if member.priority is None else member.priority,
        weight=member.weight,
        max_concurrency=member.max_concurrency,
        model_limits=_account_limits(kind, member),
        account=_account(member),
        context_window=member.context_window,
    )


def _account_limits(kind: str, wishes: UpstreamSettings) -> Mapping[str, int]:
    """Those of an account at DeepSeek, unless the settings know another."""
    by_deepseek = kind == "chat" and by_host(urlsplit(wishes.url).hostname or "") is DEEPSEEK
    return DEEPSEEK_LIMITS if by_deepseek and wishes.max_concurrency is None else {}


def _account(wishes: UpstreamSettings) -> str:
    """A name for the account of the upstream's key: the same for the same key."""
    key = wishes.api_key.reveal() if wishes.api_key else ""
    return sha256(f"{wishes.url} {key}".encode()).hexdigest()[:32]


def chat_upstream(settings: UpstreamSettings) -> ChatHttpUpstream:
    """A chat server over HTTP. Raises ``ValueError`` for a dialect or an address that is none."""
    return ChatHttpUpstream(
        base_url=settings.url,
        dialect=_dialect(settings.dialect),
        api_key=settings.api_key.reveal() if settings.api_key else None,
        model=settings.model,
        context_window=settings.context_window,
        proxy_from_env=settings.proxy_from_env,
        connect_timeout=settings.connect_timeout,
        first_byte_timeout=settings.first_byte_timeout,
        idle_timeout=settings.idle_timeout,
    )


def tokens_upstream(settings: UpstreamSettings) -> "TokensHttpUpstream":
    """A server that is given token ids. Raises ``ValueError`` for an address that is none."""
    from deepseek_messages.upstreams.tokens.servers import TOKEN_SERVERS  # noqa: PLC0415 - see above
    from deepseek_messages.upstreams.tokens.upstream import TokensHttpUpstream  # noqa: PLC0415

    return TokensHttpUpstream(
        server=TOKEN_SERVERS[settings.server],
        encoding=None if settings.encoding == "auto" else settings.encoding,
        window=settings.context_window,
        base_url=settings.url,
        api_key=settings.api_key.reveal() if settings.api_key else None,
        model=settings.model,
        proxy_from_env=settings.proxy_from_env,
        connect_timeout=settings.connect_timeout,
        first_byte_timeout=settings.first_byte_timeout,
        idle_timeout=settings.idle_timeout,
    )


def _dialect(name: str) -> Dialect | None:
    if name == "auto":
        return None
    if name not in DIALECTS:
        raise ValueError(f"upstream.dialect: {name!r} is none of auto, {', '.join(DIALECTS)}")
    return DIALECTS[name]


def _embedded_upstream(settings: Settings, progress: Progress) -> Upstream:
    from deepseek_messages.upstreams.embedded import EmbeddedUpstream  # noqa: PLC0415 - see above

    wishes = settings.embedded
    return EmbeddedUpstream(
        ModelStore(settings.cache_dir).resolve(wishes.model),
        context=wishes.context,
        slots=wishes.slots,
        threads=wishes.threads,
        queue=wishes.queue,
        progress=progress,
    )


def _refuse_absent(settings: Settings) -> None:
    """A model file of the user's own that is not there would be missed at the first request only.
    Among several upstreams it takes nothing from the others. Raises ``ModelError``.
    """
    model = ModelStore(settings.cache_dir).resolve(settings.embedded.model)
    if isinstance(model, LocalModel):
        model.fetch(_silent)


def _silent(_step: str, _done: int, _total: int) -> None:
    pass


class DoubleUpstream:
    """The stand-in for DeepSeek's API, served inside this process and asked over HTTP."""

    name = "double"

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._chat: ChatHttpUpstream | None = None

    @property
    def dialect(self) -> Dialect:
        """DeepSeek's."""
        return DEEPSEEK

    async def start(self) -> None:
        """Serve the double."""
        from deepseek_messages.upstreams.double import serve_double  # noqa: PLC0415 - see above

        url = await self._stack.enter_async_context(serve_double())
        self._chat = ChatHttpUpstream(
            base_url=url, dialect=DEEPSEEK, api_key=DOUBLE_KEY, name=self.name, proxy_from_env=False
        )
        self._stack.push_async_callback(self._chat.aclose)

    async def open(self, call: UpstreamCall) -> ChatStream:
        """As ``ChatHttpUpstream.open``."""
        return await self._started.open(call)

    async def models(self) -> Sequence[Model]:
        """What the double lists."""
        return await self._started.models()

    async def count_tokens(self, call: UpstreamCall) -> int | None:
        """As ``ChatHttpUpstream.count_tokens``."""
        return await self._started.count_tokens(call)

    async def readiness(self) -> Readiness:
        """Ready once it is served."""
        return await self._started.readiness()

    async def aclose(self) -> None:
        """Stop serving it."""
        await self._stack.aclose()

    @property
    def _started(self) -> ChatHttpUpstream:
        assert self._chat is not None, "not started"
        return self._chat
