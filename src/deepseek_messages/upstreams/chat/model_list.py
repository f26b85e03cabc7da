"""The models a chat server lists, read into catalogue records and remembered for a while."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from deepseek_messages.translation.catalogue import KNOWN_MODELS, Model, describe
from deepseek_messages.translation.dialects import DEEPSEEK, LLAMA_CPP, OLLAMA, SGLANG, Dialect
from deepseek_messages.translation.faults import Fault
from deepseek_messages.translation.limits import MAX_SHOWN_MODELS, MODELS_TTL, READINESS_TTL
from deepseek_messages.upstreams.http.faults import garbage_fault
from deepseek_messages.upstreams.http.probe import Probe

# What servers call the window: DeepSeek (API reference, list-models), vLLM and SGLang
# (``ModelCard``), LM Studio and OpenRouter.
_WINDOW_KEYS = ("context_window", "max_model_len", "context_length", "max_context_length")
_OUTPUT_KEYS = ("max_output_tokens", "max_completion_tokens")


class ModelList:
    """One server's models. ``preferred`` is the name a person configured: it comes first; and
    ``window`` the context in tokens.
    """

    def __init__(
        self,
        probe: Probe,
        *,
        preferred: str | None,
        window: int | None = None,
        clock: Callable[[], float],
    ) -> None:
        self._probe = probe
        self._preferred = preferred
        self._window = window
        self._clock = clock
        self._models: Sequence[Model] = ()
        self._until = float("-inf")
        self._asking = asyncio.Lock()
        self._vain = 0  # how often it was asked for in vain
        self._fault: Fault | None = None  # why, the last time

    def known(self) -> Sequence[Model] | None:
        """The list while it is fresh."""
        return self._models if self._clock() < self._until else None

    async def get(self, dialect: Dialect) -> Sequence[Model]:
        """The list, asked for again when it is old; an old one, for a while, if the server does not
        answer. Raises ``Fault`` when there never was an answer; whoever waits while it is asked
        for in vain has the same one.
        """
        if (known := self.known()) is not None:
            return known
        vain = self._vain
        async with self._asking:
            if self._clock() >= self._until:
                if self._fault is not None and self._vain > vain:
                    raise self._fault
                await self._refresh_if_possible(dialect)
        return self._models

    async def _refresh_if_possible(self, dialect: Dialect) -> None:
        try:
            await self.refresh(dialect)
        except Fault as fault:
            if not self._models:
                self._vain, self._fault = self._vain + 1, fault
                raise
            self._until = self._clock() + READINESS_TTL

    async def refresh(self, dialect: Dialect) -> None:
        """Ask now. Raises ``Fault``."""
        try:
            models = await self._ask(dialect)
        except Fault as fault:
            models = self._without_list(dialect, fault)
        listed = self._preferred_first(models)
        self._models = tuple(_sized(model, self._window) for model in listed)
        self._until = self._clock() + MODELS_TTL

    async def _ask(self, dialect: Dialect) -> list[Model]:
        path = dialect.path.removesuffix("/chat/completions") + "/models"
        said = await self._probe.ask("GET", self._probe.origin.api(path))
        models = read_list(said.value)
        if models is None:
            raise garbage_fault(self._probe.origin.label, "something that is no list of models")
        if dialect.name == LLAMA_CPP.name:
            return await self._with_props(models)
        if dialect.name == OLLAMA.name:
            return await self._with_show(models)
        if dialect.name == SGLANG.name:
            return await self._with_model_info(models)
        return models

    def _without_list(self, dialect: Dialect, fault: Fault) -> list[Model]:
        """A server that answers, but not with a list: what else is known of it."""
        no_list = fault.upstream_status in {404, 405, 501} and self._preferred is not None
        callers_key = fault.upstream_status in {401, 403} and not self._probe.client.has_key
        if callers_key and dialect.name == DEEPSEEK.name:
            return [model for model in KNOWN_MODELS.values() if model.lifecycle == "active"]
        if no_list or (callers_key and self._preferred is not None):
            return []
        raise fault

    def _preferred_first(self, models: Iterable[Model]) -> Sequence[Model]:
        if self._preferred is None:
            return tuple(models)
        by_id = {model.id: model for model in models}
        first = by_id.pop(self._preferred, None) or describe(self._preferred)
        return (first, *by_id.values())

    async def _with_props(self, models: list[Model]) -> list[Model]:
        """llama.cpp tells the window of a slot and what it can see in ``/props``."""
        props = await self._probe.ask_or_none("GET", self._probe.origin.root("/props"))
        window = _number(_at(props, "default_generation_settings", "n_ctx"))
        sees = _at(props, "modalities", "vision") is True
        template = _at(props, "chat_template")
        thinks = isinstance(template, str) and "<think>" in template
        return [
            replace(
                _sized(model, window),
                sees=sees or model.sees,
                thinks=thinks or model.thinks,
            )
            for model in models
        ]

    async def _with_model_info(self, models: list[Model]) -> list[Model]:
        """SGLang tells in ``/model_info`` whether it was started with the model's vision part
        (docs "SGLang Native APIs", "Get Model Info").
        """
        url = self._probe.origin.root("/model_info")
        sees = _at(await self._probe.ask_or_none("GET", url), "has_image_understanding")
        return [replace(model, sees=sees) for model in models] if type(sees) is bool else models

    async def _with_show(self, models: list[Model]) -> list[Model]:
        """Ollama tells a model's abilities in ``/api/show``, and the window it was loaded with
        in ``/api/ps`` (docs/api.md, "Show Model Information", "List Running Models").
        """
        url = self._probe.origin.root("/api/ps")
        running = _at(await self._probe.ask_or_none("GET", url), "models")
        windows = {
            entry.get("name"): _number(entry.get("context_length"))
            for entry in (running if isinstance(running, list) else [])
            if isinstance(entry, dict) and isinstance(entry.get("name"), str)
        }
        shown = [await self._shown(model) for model in models[:MAX_SHOWN_MODELS]]
        return [_sized(model, windows.get(model.id)) for model in shown]

    async def _shown(self, model: Model) -> Model:
        url = self._probe.origin.root("/api/show")
        shown = await self._probe.ask_or_none("POST", url, {"model": model.id})
        abilities = _at(shown, "capabilities")
        if not isinstance(abilities, list):
            return model
        info = _at(shown, "model_info")
        lengths = (
            _number(value)
            for key, value in (info.items() if isinstance(info, dict) else ())
            if key.endswith(".context_length")
        )
        return replace(
            _sized(model, next(lengths, None)),
            thinks="thinking" in abilities,
            sees="vision" in abilities,
            tools="tools" in abilities,
        )


def read_list(value: Any) -> list[Model] | None:
    """The records of a model list, in its order; ``None`` when the value is no such list."""
    data = _at(value, "data")
    if not isinstance(data, list):
        return None
    entries = (entry for entry in data if isinstance(entry, dict))
    return [_read(entry) for entry in entries if isinstance(entry.get("id"), str) and entry["id"]]


def _read(entry: dict[str, Any]) -> Model:
    owner = entry.get("owned_by")
    window = next(filter(None, (_number(entry.get(key)) for key in _WINDOW_KEYS)), None)
    output = next(filter(None, (_number(entry.get(key)) for key in _OUTPUT_KEYS)), None)
    meta = entry.get("meta")  # llama.cpp: tools/server/README.md, "GET /v1/models"
    model = _known(
        entry,
        context_window=window or _number(_at(meta, "n_ctx")) or _number(_at(meta, "n_ctx_train")),
        max_output_tokens=output,
        owned_by=owner if isinstance(owner, str) and owner else None,
    )
    name, inputs = entry.get("name"), entry.get("input_modalities")
    if isinstance(name, str) and name:
        model = replace(model, display_name=name)
    if isinstance(inputs, list):
        model = replace(model, sees="image" in inputs)
    if isinstance(_at(entry, "effort", "supported_levels"), list):
        model = replace(model, thinks=True)
    return model


def _known(entry: dict[str, Any], **figures: Any) -> Model:
    """By the listed name, or by the weights behind it: vLLM and SGLang tell them in ``root``."""
    model, root = describe(entry["id"], **figures), entry.get("root")
    if model.encoding is not None or not isinstance(root, str) or not root:
        return model
    weights = describe(root, **figures)
    if weights.encoding is None and not weights.thinks:
        return model
    return replace(weights, id=model.id, display_name=model.display_name)


def _sized(model: Model, window: int | None) -> Model:
    if window is None:
        return model
    most = window if model.max_output_tokens == model.context_window else model.max_output_tokens
    return replace(model, context_window=window, max_output_tokens=min(most, window))


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
