"""Who calls."""

from msgspec import Struct


class Caller(Struct, frozen=True):
    """A caller that was let in. ``name`` is safe to log; ``credential`` is the caller's own key
    for the upstream, set in pass-through mode only. ``identity`` tells callers apart for what one
    may not read of another: the digest of the key they came with, empty where no key is asked for.
    """

    name: str
    credential: str | None = None
    identity: str = ""

    def __repr__(self) -> str:
        """Without the credential."""
        return f"Caller({self.name!r})"


NOBODY = Caller("")
