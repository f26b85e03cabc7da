"""Who calls."""

from msgspec import Struct


class Caller(Struct, frozen=True):
    """A caller that was let in. ``name`` is safe to log; ``credential`` is the caller's own key
    for the upstream, set in pass-through mode only.
    """

    name: str
    credential: str | None = None

    def __repr__(self) -> str:
        """Without the credential."""
        return f"Caller({self.name!r})"


NOBODY = Caller("")
