"""What a test can tell the double to answer: a list of steps, played in order.

Content steps (``Think``, ``Text``, ``Call``) go through DeepSeek's own output parser, as a model's
tokens would; ``Frame`` and ``Garbage`` go to the client as they are. A scripted answer is only
played for a request that the rules let through.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

FinishReason = Literal[
    "stop", "length", "content_filter", "insufficient_system_resource", "aborted"
]


class Event(Protocol):
    """A ``threading.Event`` or an ``asyncio.Event``."""

    def is_set(self) -> bool: ...


@dataclass(frozen=True)
class Think:
    """Reasoning. Left out when the request turned thinking off, as by a model."""

    text: str


@dataclass(frozen=True)
class Text:
    """Answer text."""

    text: str


@dataclass(frozen=True)
class Call:
    """A tool call. ``arguments`` is JSON text; it is written in DeepSeek's mark-up and parsed
    back, which keeps values but not spacing. With ``verbatim`` it goes out as it is, in pieces
    of ``piece`` characters: also text that is not JSON.
    """

    name: str
    arguments: str = "{}"
    verbatim: bool = False
    piece: int = 8
    id: str | None = None  # only with ``verbatim``


@dataclass(frozen=True)
class Finish:
    """End the answer with this ``finish_reason``. Without the step it is ``stop`` or
    ``tool_calls``. Steps after it are played between the last chunk and ``[DONE]``.
    """

    reason: FinishReason


@dataclass(frozen=True)
class Status:
    """Answer with this HTTP status instead. Must be the first step, or follow ``Delay``."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})


@dataclass(frozen=True)
class Delay:
    """Wait here: until the event is set, or so many seconds. As the first step it holds back the
    status and the headers too.
    """

    until: Event | float


@dataclass(frozen=True)
class KeepAlive:
    """What DeepSeek sends while a request waits: ``: keep-alive`` lines in a stream, empty lines
    before a whole answer ("Rate Limit" page).
    """

    count: int = 1


@dataclass(frozen=True)
class Frame:
    """One ``data:`` line with this text, only in streams."""

    data: str


@dataclass(frozen=True)
class Garbage:
    """These bytes, as they are."""

    data: bytes


@dataclass(frozen=True)
class Stall:
    """Say nothing more; hold the connection until the client goes away."""


@dataclass(frozen=True)
class Cut:
    """Close the connection here, with the answer unfinished. The status and the headers are sent
    before, if they were not yet.
    """


@dataclass(frozen=True)
class CutAfterBytes:
    """Close the connection after so many bytes of the body. May stand anywhere."""

    count: int


@dataclass(frozen=True)
class NoDone:
    """End a stream in good order, but without ``data: [DONE]``. May stand anywhere."""


Step = (
    Think
    | Text
    | Call
    | Finish
    | Status
    | Delay
    | KeepAlive
    | Frame
    | Garbage
    | Stall
    | Cut
    | CutAfterBytes
    | NoDone
)
Answer = Step | Sequence[Step]


def steps(answer: Answer) -> list[Step]:
    """An answer as a list; one step alone is an answer too."""
    return list(answer) if isinstance(answer, Sequence) else [answer]
