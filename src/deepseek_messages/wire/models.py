"""The list of models: Anthropic's page and OpenAI's list in one body.

Source: ``ModelInfo`` and ``ModelCapabilities`` of the official SDKs (anthropic 2.12), and
OpenAI's ``GET /v1/models`` as DeepSeek serves it. Both kinds of client ignore the other's fields.
"""

from typing import Literal

from msgspec import Struct


class Support(Struct, frozen=True):
    """Whether an ability is there."""

    supported: bool


class ThinkingTypes(Struct, frozen=True, kw_only=True):
    """Which values of ``thinking.type`` are accepted."""

    adaptive: Support
    between_tools: Support
    disabled: Support
    enabled: Support


class ThinkingCapability(Struct, frozen=True):
    supported: bool
    types: ThinkingTypes


class EffortCapability(Struct, frozen=True, kw_only=True):
    """Which values of ``output_config.effort`` are accepted."""

    supported: bool
    low: Support
    medium: Support
    high: Support
    xhigh: Support
    max: Support


class ContextManagementCapability(Struct, frozen=True, kw_only=True):
    supported: bool
    clear_thinking_20251015: Support
    clear_tool_uses_20250919: Support
    compact_20260112: Support


class ServerToolsCapability(Struct, frozen=True, kw_only=True):
    supported: bool
    web_search: Support
    code_execution: Support


class Capabilities(Struct, frozen=True, kw_only=True):
    """What a model can do through this server. Every key is always there."""

    batch: Support
    citations: Support
    code_execution: Support
    context_management: ContextManagementCapability
    effort: EffortCapability
    image_input: Support
    pdf_input: Support
    server_tools: ServerToolsCapability
    structured_outputs: Support
    thinking: ThinkingCapability


class ModelInfo(Struct, frozen=True, kw_only=True, tag="model", tag_field="type"):
    """One model. ``created_at`` is RFC 3339, ``created`` the same in seconds since 1970;
    ``max_input_tokens`` is the whole context window, ``max_tokens`` the most output.
    """

    id: str
    display_name: str
    created_at: str
    lifecycle: Literal["active", "deprecated", "retired"]
    max_input_tokens: int
    max_tokens: int
    capabilities: Capabilities
    line: str | None = None
    deprecated_at: str | None = None
    retires_at: str | None = None
    # OpenAI's list
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class ModelPage(Struct, frozen=True, kw_only=True):
    """A page of models; ``first_id`` and ``last_id`` are the cursors of its neighbours."""

    data: list[ModelInfo]
    has_more: bool
    first_id: str | None
    last_id: str | None
    object: Literal["list"] = "list"
