"""Tools that a request offers, and which of them the model is to call.

Schemas stay raw: they pass byte for byte. ``gc=False``: see ``wire.messages``.
"""

from typing import Literal

from msgspec import UNSET, Raw, Struct, UnsetType

from deepseek_messages.wire.citations import CitationsSetting
from deepseek_messages.wire.raw import Ignored


class Tool(Struct, frozen=True, gc=False, kw_only=True):
    """A tool entry of any kind: custom (``type`` absent, null or ``custom``), one of Anthropic's
    client tools, or a server tool. Kinds are told apart by ``type`` alone, never by ``name``.
    """

    name: str | None = None
    type: str | None = None
    description: str | None = None
    input_schema: Raw | UnsetType = UNSET
    strict: bool | None = None
    defer_loading: bool | None = None
    eager_input_streaming: bool | None = None
    input_examples: list[Raw] | None = None
    allowed_callers: list[str] | None = None
    cache_control: Ignored = UNSET
    # server tools and Anthropic's client tools
    max_uses: int | None = None
    allowed_domains: list[str] | None = None
    blocked_domains: list[str] | None = None
    user_location: Ignored = UNSET
    max_characters: int | None = None
    display_width_px: int | None = None
    display_height_px: int | None = None
    display_number: int | None = None
    max_content_tokens: int | None = None
    citations: CitationsSetting | None = None
    mcp_server_name: str | None = None
    default_config: Ignored = UNSET
    configs: Ignored = UNSET


class ToolChoice(Struct, frozen=True, gc=False):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None
