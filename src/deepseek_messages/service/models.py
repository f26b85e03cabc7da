"""Which models there are, for clients of Anthropic's and of OpenAI's kind."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from deepseek_messages.translation.catalogue import (
    CLAUDE_PREFIX,
    THINKING_BY_NAME,
    Lifecycle,
    Model,
    find,
)
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.upstreams.base import Upstream
from deepseek_messages.wire.models import (
    Capabilities,
    ContextManagementCapability,
    EffortCapability,
    ModelInfo,
    ModelPage,
    ServerToolsCapability,
    Support,
    ThinkingCapability,
    ThinkingTypes,
)

# Anthropic: "Ranges from 1 to 1000." Its default is 20, but clients of OpenAI's kind know no
# pages and would never see the rest, so the default is everything.
MAX_LIMIT = 1000

# Anthropic: retired models appear only when asked for.
SHOWN_LIFECYCLES: frozenset[Lifecycle] = frozenset({"active", "deprecated"})
LIFECYCLES: dict[str, Lifecycle] = {
    "active": "active",
    "deprecated": "deprecated",
    "retired": "retired",
}

YES, NO = Support(supported=True), Support(supported=False)


class PageQuery(Struct, frozen=True, kw_only=True):
    """Which part of the list is asked for. Cursors are model ids, exclusive."""

    limit: int = MAX_LIMIT
    after_id: str | None = None
    before_id: str | None = None
    lifecycles: frozenset[Lifecycle] = SHOWN_LIFECYCLES


def parse_page_query(parameters: Iterable[tuple[str, str]]) -> PageQuery:
    """The page asked for by a query string's parameters. Unknown ones are ignored. Raises
    ``Refusal`` (400) for a limit out of range, two cursors, or an unknown stage of life.
    """
    values: dict[str, list[str]] = {}
    for name, value in parameters:
        values.setdefault(name.removesuffix("[]"), []).append(value)
    first = {name: each[0] for name, each in values.items()}
    after, before = first.get("after_id"), first.get("before_id")
    if after and before:
        raise Refusal("only one of after_id and before_id may be given", path="after_id")
    stages = [_lifecycle(value) for value in values.get("lifecycle", ())]
    return PageQuery(
        limit=_limit(first.get("limit")),
        after_id=after or None,
        before_id=before or None,
        lifecycles=frozenset(stages) or SHOWN_LIFECYCLES,
    )


def _limit(text: str | None) -> int:
    if text is None:
        return MAX_LIMIT
    # Longer digits than the limit has are out of range without being read as a number.
    if not (text.isascii() and text.isdigit()):
        raise Refusal("Input should be a valid integer", path="limit")
    limit = int(text) if len(text) <= len(str(MAX_LIMIT)) else MAX_LIMIT + 1
    if not 1 <= limit <= MAX_LIMIT:
        raise Refusal(f"Input should be between 1 and {MAX_LIMIT}", path="limit")
    return limit


def _lifecycle(text: str) -> Lifecycle:
    if text not in LIFECYCLES:
        raise Refusal("Input should be 'active', 'deprecated' or 'retired'", path="lifecycle")
    return LIFECYCLES[text]


class ModelDirectory:
    """The names a client may use with one upstream. ``aliases`` is the user's own table."""

    def __init__(self, upstream: Upstream, aliases: Mapping[str, str] | None = None) -> None:
        self._upstream = upstream
        self._aliases = aliases or {}

    async def page(self, query: PageQuery, *, for_claude_code: bool = False) -> ModelPage:
        """One page of the list. With ``for_claude_code`` each model is listed once more under a
        name that begins with ``claude-``: its model picker shows no others. Raises ``Fault``
        when the upstream cannot be asked, ``Refusal`` (400) for a cursor that is not in the list.
        """
        served = await self._upstream.models()
        models = names(served, self._aliases, for_claude_code=for_claude_code)
        return cut_page([model for model in models if model.lifecycle in query.lifecycles], query)

    async def one(self, name: str) -> ModelInfo:
        """The model that a name means. Raises ``Refusal`` (404) when it means none, even though
        a request for it would be served by the default model; ``Fault`` as ``page``.
        """
        served = await self._upstream.models()
        listed = names(served, self._aliases, for_claude_code=True)
        found = next((model for model in listed if model.id == name), None)
        if found is None:
            choice = find(name, served, self._aliases)
            found = choice.model if choice else None
        if found is None:
            raise Refusal(f"model: {name}", status=404)
        return model_info(found)


def names(
    served: Sequence[Model], aliases: Mapping[str, str], *, for_claude_code: bool = False
) -> list[Model]:
    """The upstream's models, then the names that mean one of them, each once."""
    extra = [name for name in (*aliases, *THINKING_BY_NAME) if "*" not in name]
    if for_claude_code:
        extra += [CLAUDE_PREFIX + model.id for model in served]
    listed = {model.id: model for model in served}
    for name in extra:
        choice = find(name, served, aliases)
        if name not in listed and choice is not None:
            listed[name] = replace(choice.model, id=name, display_name=_display(name, choice.model))
    return list(listed.values())


def _display(name: str, model: Model) -> str:
    return model.display_name if name.startswith(CLAUDE_PREFIX) else f"{name} ({model.id})"


def cut_page(models: Sequence[Model], query: PageQuery) -> ModelPage:
    """The page of ``models`` after or before the query's cursor. Raises ``Refusal`` (400)."""
    ids = [model.id for model in models]
    start, end = 0, len(models)
    if query.after_id is not None:
        start = _position(ids, query.after_id, "after_id") + 1
    if query.before_id is not None:
        end = _position(ids, query.before_id, "before_id")
        start = max(0, end - query.limit)
        has_more = start > 0
    else:
        has_more = end - start > query.limit
    chosen = models[start : min(end, start + query.limit)]
    return ModelPage(
        data=[model_info(model) for model in chosen],
        has_more=has_more,
        first_id=chosen[0].id if chosen else None,
        last_id=chosen[-1].id if chosen else None,
    )


def _position(ids: Sequence[str], cursor: str, parameter: str) -> int:
    if cursor not in ids:
        raise Refusal("no model with this id", path=parameter)
    return ids.index(cursor)


def model_info(model: Model) -> ModelInfo:
    """A model of the catalogue as both kinds of client want to read it."""
    return ModelInfo(
        id=model.id,
        display_name=model.display_name,
        created_at=model.created_at,
        lifecycle=model.lifecycle,
        max_input_tokens=model.context_window,
        max_tokens=model.max_output_tokens,
        capabilities=_capabilities(model),
        created=int(datetime.fromisoformat(model.created_at).timestamp()),
        owned_by=model.owned_by,
    )


def _capabilities(model: Model) -> Capabilities:
    thinks = YES if model.thinks else NO
    return Capabilities(
        batch=NO,
        citations=YES,  # emulated: see translation.citing
        code_execution=NO,
        context_management=ContextManagementCapability(
            supported=True,
            clear_thinking_20251015=YES,
            clear_tool_uses_20250919=YES,
            compact_20260112=YES,
        ),
        effort=EffortCapability(
            supported=model.thinks, low=thinks, medium=thinks, high=thinks, xhigh=thinks, max=thinks
        ),
        image_input=YES if model.sees else NO,
        pdf_input=YES,  # as text: see service.documents
        server_tools=ServerToolsCapability(supported=False, web_search=NO, code_execution=NO),
        structured_outputs=YES,
        # Every type is accepted for every model: where it means nothing, it does nothing.
        thinking=ThinkingCapability(
            supported=model.thinks,
            types=ThinkingTypes(adaptive=YES, between_tools=YES, disabled=YES, enabled=YES),
        ),
    )
