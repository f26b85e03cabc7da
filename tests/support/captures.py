"""The requests of real clients in ``tests/captures``, ready to be sent."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "captures"
LEFT_OUT = re.compile(r"^<(\d+) chars>$")

# Set by the sender's HTTP library, not part of what the client says.
TRANSPORT_HEADERS = frozenset({"host", "content-length", "connection", "accept-encoding"})


@dataclass(frozen=True)
class Capture:
    """One request. ``name`` is its file and its place in it."""

    name: str
    method: str
    target: str
    headers: dict[str, str]
    body: Any

    @property
    def is_messages(self) -> bool:
        """Whether it asks for an answer (not a count, list or probe)."""
        return self.target.split("?")[0].endswith("/messages")


def filled(value: Any) -> Any:
    """``value`` with its left-out texts filled up to their length."""
    match value:
        case str():
            found = LEFT_OUT.match(value)
            return "x " * (int(found[1]) // 2) if found else value
        case list():
            return [filled(each) for each in value]
        case dict():
            return {name: filled(each) for name, each in value.items()}
        case _:
            return value


def captures() -> list[Capture]:
    """All requests, in the order of their files."""
    return [
        Capture(
            name=f"{file.stem}-{number}",
            method=request["method"],
            target=request["target"],
            headers={
                name: value
                for name, value in request["headers"]
                if name.lower() not in TRANSPORT_HEADERS
            },
            body=filled(request["body"]),
        )
        for file in sorted(FOLDER.glob("*.json"))
        for number, request in enumerate(json.loads(file.read_text())["requests"])
    ]
