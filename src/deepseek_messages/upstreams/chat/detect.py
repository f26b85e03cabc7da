"""Finding out what chat server an address is, by asking it."""

from typing import Any

from deepseek_messages.translation.dialects import (
    GENERIC,
    LLAMA_CPP,
    OLLAMA,
    SGLANG,
    VLLM,
    Dialect,
    by_host,
    by_signs,
)
from deepseek_messages.translation.faults import Fault
from deepseek_messages.upstreams.http.origin import Origin
from deepseek_messages.upstreams.http.probe import Probe

# What only one server answers: a path beside the API, a key of its answer, the dialect.
# Ollama docs/api.md "Version"; llama.cpp tools/server/README.md "GET /props"; SGLang
# http_server.py "get_model_info"; vLLM entrypoints "show_version" (last: many have a version).
TELLTALES: tuple[tuple[str, str, Dialect], ...] = (
    ("/props", "default_generation_settings", LLAMA_CPP),
    ("/get_model_info", "model_path", SGLANG),
    ("/api/version", "version", OLLAMA),
    ("/version", "version", VLLM),
)


def guess(origin: Origin) -> Dialect:
    """What an address alone says; the generic dialect when it says nothing."""
    return by_host(origin.host) or GENERIC


async def detect(probe: Probe, origin: Origin) -> Dialect:
    """The dialect of the server at ``origin``: by its host, its model list, its other paths.

    Raises ``Fault`` when it cannot be reached; a server that answers but cannot be told is
    taken for a generic one.
    """
    known = by_host(origin.host)
    if known is not None:
        return known
    return await _by_list(probe, origin) or await _by_telltale(probe, origin) or GENERIC


async def _by_list(probe: Probe, origin: Origin) -> Dialect | None:
    try:
        said = await probe.ask("GET", origin.api("/v1/models"))
    except Fault as fault:
        if fault.upstream_status is None:
            raise
        return None  # it is there, but has no list for us
    return by_signs(owners_of(said.value), said.server)


async def _by_telltale(probe: Probe, origin: Origin) -> Dialect | None:
    for path, key, dialect in TELLTALES:
        answer = await probe.ask_or_none("GET", origin.root(path))
        if isinstance(answer, dict) and key in answer:
            return dialect
    return None


def owners_of(listed: Any) -> frozenset[str]:
    """Every ``owned_by`` of a model list, in lower case."""
    data = listed.get("data") if isinstance(listed, dict) else None
    entries = data if isinstance(data, list) else []
    owners = (entry.get("owned_by") for entry in entries if isinstance(entry, dict))
    return frozenset(owner.lower() for owner in owners if isinstance(owner, str))
