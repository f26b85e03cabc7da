"""Names a client may use, and what is served for them: windows, limits, abilities, as data.

Source of the figures: DeepSeek's pages "Models & Pricing", "Change Log" and "Anthropic API", as
published in autumn 2025 (the names ``deepseek-chat`` and ``deepseek-reasoner``) and in November
2026 (``deepseek-flash``, ``deepseek-v4-pro`` and their aliases). Prices are in ``prices``.
"""

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

Encoding = Literal["v4", "v4.1"]
Lifecycle = Literal["active", "deprecated", "retired"]


class Model(Struct, frozen=True, kw_only=True):
    """A model that an upstream serves. Token counts are in tokens.

    ``id`` is the name sent upstream; ``encoding`` names DeepSeek's prompt encoding when the
    model uses one (then counts are exact).
    """

    id: str
    display_name: str
    context_window: int
    max_output_tokens: int
    created_at: str = "2026-01-01T00:00:00Z"  # RFC 3339
    encoding: Encoding | None = None
    thinks: bool = False  # has a thinking mode
    sees: bool = False  # takes images
    tools: bool = True
    lifecycle: Lifecycle = "active"
    owned_by: str = "deepseek"


class Choice(Struct, frozen=True, kw_only=True):
    """What a requested name comes to: the model served, whether thinking is on when the request
    does not say (``None``: the request's absence means off), and the name asked for.
    """

    model: Model
    requested: str
    thinking_default: bool | None = None


# --- DeepSeek's models ----------------------------------------------------------------------------

MILLION = 1_048_576
MAX_OUTPUT = 393_216  # "maximum 384K"

FLASH = Model(
    id="deepseek-flash",
    display_name="DeepSeek V4.1 Flash",
    context_window=MILLION,
    max_output_tokens=MAX_OUTPUT,
    created_at="2026-09-10T00:00:00Z",
    encoding="v4.1",
    thinks=True,
    sees=True,
)
PRO = Model(
    id="deepseek-v4-pro",
    display_name="DeepSeek V4 Pro",
    context_window=MILLION,
    max_output_tokens=MAX_OUTPUT,
    created_at="2026-08-13T00:00:00Z",
    encoding="v4",
    thinks=True,
)
# The two names of autumn 2025. Their prompt encoding (V3.2-Exp) has no public implementation
# that ships as a library, so a server that still has them gets estimated counts.
CHAT = Model(
    id="deepseek-chat",
    display_name="DeepSeek Chat",
    context_window=131_072,
    max_output_tokens=8_192,
    created_at="2025-09-29T00:00:00Z",
    lifecycle="deprecated",
)
REASONER = Model(
    id="deepseek-reasoner",
    display_name="DeepSeek Reasoner",
    context_window=131_072,
    max_output_tokens=65_536,
    created_at="2025-09-29T00:00:00Z",
    thinks=True,
    tools=False,
    lifecycle="deprecated",
)

KNOWN_MODELS: dict[str, Model] = {
    model.id: model
    for model in (
        FLASH,
        PRO,
        replace(
            FLASH,
            id="deepseek-v4-flash",
            display_name="DeepSeek V4 Flash (now V4.1 Flash)",
            created_at="2026-07-31T00:00:00Z",
            lifecycle="deprecated",
        ),
        replace(
            FLASH,
            id="deepseek-v4-flash-vision-exp",
            display_name="DeepSeek V4 Flash Vision (now V4.1 Flash)",
            created_at="2026-08-21T00:00:00Z",
            lifecycle="deprecated",
        ),
        CHAT,
        REASONER,
    )
}

# Thinking when the request does not say, for the names whose meaning it is.
THINKING_BY_NAME: dict[str, bool] = {"deepseek-chat": False, "deepseek-reasoner": True}

# What is served for a name that the upstream does not have: the first of these it does have.
# A pattern ends in ``*``; the first pattern that matches decides. ("Anthropic API" guide, model
# mapping: ``claude-opus*`` is the large model, every other ``claude*`` the small one.)
FLASH_NAMES = ("deepseek-flash", "deepseek-v4-flash", "deepseek-v4-flash-vision-exp")
STAND_INS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("deepseek-chat", (*FLASH_NAMES, "deepseek-v4-pro")),
    ("deepseek-reasoner", (*FLASH_NAMES, "deepseek-v4-pro")),
    ("deepseek-flash", FLASH_NAMES),
    ("deepseek-v4-flash", FLASH_NAMES),
    ("deepseek-v4-flash-vision-exp", FLASH_NAMES),
    ("claude-opus*", ("deepseek-v4-pro", "deepseek-reasoner")),
    ("claude*", (*FLASH_NAMES, "deepseek-chat")),
)

# --- models of other servers ----------------------------------------------------------------------

# Published checkpoints, by the last part of their name in lower case: what their weights can do.
# Here the name says the weights, so V4 Flash has V4's encoding, unlike the hosted alias.
CHECKPOINTS: tuple[tuple[str, Model], ...] = (
    ("deepseek-v4.1-flash*", FLASH),
    ("deepseek-v4-flash*", replace(PRO, display_name="DeepSeek V4 Flash")),
    ("deepseek-v4-pro*", PRO),
    ("deepseek-v3.2*", replace(CHAT, max_output_tokens=65_536, thinks=True)),
    ("deepseek-v3.1*", replace(CHAT, max_output_tokens=65_536, thinks=True)),
    ("deepseek-r1*", replace(REASONER, tools=True)),
)

# The window assumed of a model that nothing is known of: DeepSeek's own in autumn 2025.
UNKNOWN_WINDOW = 131_072

# Claude Code's model picker shows only ids that begin so; ``claude-<id>`` means ``<id>``.
CLAUDE_PREFIX = "claude-"

SUFFIX = re.compile(r"\[\w+\]$")  # Claude Code's ``[1m]``: asks for the long window


def describe(
    name: str,
    *,
    context_window: int | None = None,
    max_output_tokens: int | None = None,
    owned_by: str | None = None,
) -> Model:
    """The record of a model an upstream lists as ``name``: a known one with the upstream's own
    figures put in, or a careful guess. Never fails.
    """
    known = KNOWN_MODELS.get(name) or _checkpoint(name)
    window = context_window or (known.context_window if known else UNKNOWN_WINDOW)
    most = min(max_output_tokens or (known.max_output_tokens if known else window), window)
    if known is None:
        return Model(
            id=name,
            display_name=name,
            context_window=window,
            max_output_tokens=most,
            owned_by=owned_by or "unknown",
        )
    return replace(
        known,
        id=name,
        display_name=known.display_name if name in KNOWN_MODELS else name,
        context_window=window,
        max_output_tokens=most,
        owned_by=owned_by or known.owned_by,
        lifecycle=known.lifecycle if name in KNOWN_MODELS else "active",
    )


def _checkpoint(name: str) -> Model | None:
    last = name.rpartition("/")[2].lower()
    return next((model for glob, model in CHECKPOINTS if fnmatchcase(last, glob)), None)


def resolve(
    requested: str,
    served: Sequence[Model],
    default: str,
    aliases: Mapping[str, str] | None = None,
) -> Choice:
    """What is served for the name ``requested``. Never fails: an unknown name gets ``default``
    (the "Anthropic API" guide of 2025: unknown names are served by ``deepseek-chat``).

    ``aliases`` is the user's own table (name or ``prefix*`` -> name); it wins over everything,
    then an id that the upstream serves, then DeepSeek's names and the ``claude-*`` mapping. A
    ``[1m]`` suffix and a ``provider/`` prefix are taken off where the rest is a known name.
    """
    last = _resolved.get(requested)
    if last is not None and last[:3] == (served, default, aliases):
        return last[3]
    choice = find(requested, served, aliases)
    if choice is None:
        choice = Choice(
            model=_default(default, served),
            requested=requested,
            thinking_default=THINKING_BY_NAME.get(default),
        )
    if len(requested) <= _MEMO_NAME_CHARS:
        if len(_resolved) >= _MEMO_ENTRIES:
            _resolved.clear()
        own = None if aliases is None else dict(aliases)
        _resolved[requested] = (served[:], default, own, choice)
    return choice


# What ``resolve`` said last for a name, and of what: clients ask for few names, many times. It is
# looked up by the name alone and compared with the rest, which may be neither hashed nor kept (an
# upstream's list and a table of aliases are the callers' own, and may change).
_resolved: dict[str, tuple[Sequence[Model], str, Mapping[str, str] | None, Choice]] = {}
_MEMO_ENTRIES = 256
_MEMO_NAME_CHARS = 200


def find(
    requested: str, served: Sequence[Model], aliases: Mapping[str, str] | None = None
) -> Choice | None:
    """``resolve`` for names that mean something; ``None`` for those only a default can serve."""
    bare = SUFFIX.sub("", requested)
    last = bare.rpartition("/")[2]
    for name in dict.fromkeys((requested, bare, last)):
        target = _alias(name, aliases or {})
        model = _meaning(target, served) if target else _served(name, served)
        if model is not None:
            return _choice(model, requested, target or name)
    for name in dict.fromkeys((last, last.lower())):  # repositories write DeepSeek-V4-Pro
        model = _meaning(name, served)
        if model is not None:
            return _choice(model, requested, name)
    return None


def _choice(model: Model, requested: str, name: str) -> Choice:
    return Choice(model=model, requested=requested, thinking_default=THINKING_BY_NAME.get(name))


def _alias(name: str, aliases: Mapping[str, str]) -> str | None:
    if name in aliases:
        return aliases[name]
    return next(
        (to for glob, to in aliases.items() if "*" in glob and fnmatchcase(name, glob)), None
    )


def _served(name: str, served: Sequence[Model]) -> Model | None:
    return next((model for model in served if model.id == name), None)


def _meaning(name: str, served: Sequence[Model]) -> Model | None:
    """The served model of this name, or the one that stands in for it."""
    model = _served(name, served) or _served(name.removeprefix(CLAUDE_PREFIX), served)
    if model is not None:
        return model
    for pattern, candidates in STAND_INS:
        if fnmatchcase(name, pattern):
            found = (_served(each, served) for each in candidates)
            model = next((each for each in found if each is not None), None)
            break
    if model is None and name in THINKING_BY_NAME and served:
        return served[0]  # what these names say is the thinking, on whatever is served
    return model


def _default(default: str, served: Sequence[Model]) -> Model:
    """The default model, the served one that stands in for it, or the first that is served."""
    found = find(default, served)
    if found is not None:
        return found.model
    return served[0] if served else describe(default)
