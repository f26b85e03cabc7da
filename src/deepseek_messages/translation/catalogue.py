"""Names a client may use, and what is served for them: windows, limits, abilities, as data."""

from typing import Literal

from msgspec import Struct

Encoding = Literal["v4", "v4.1"]


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


class Choice(Struct, frozen=True, kw_only=True):
    """What a requested name comes to: the model served, whether thinking is on when the request
    does not say (``None``: the request's absence means off), and the name asked for.
    """

    model: Model
    requested: str
    thinking_default: bool | None = None
