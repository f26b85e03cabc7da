"""JSON that stays as it came."""

from msgspec import Raw, UnsetType

# A field that is accepted whatever its shape, and only looked at for being there.
Ignored = Raw | UnsetType

EMPTY_OBJECT = Raw(b"{}")
