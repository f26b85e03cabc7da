"""Keys that stand twice in one object, which are refused: readers differ in which one counts (RFC
8259 §4), so what a gateway in front has checked need not be what is served.
"""

import json
from collections.abc import Iterator
from typing import Any

import jiter

from deepseek_messages.translation.limits import LARGE_BODY
from deepseek_messages.translation.refusals import Refusal

# Where a value stands: where what holds it stands, and its key or number there.
_Place = tuple["_Place", object] | None


class _Members(list[tuple[str, Any]]):
    """Of an object, in their order."""


def refuse_repeated(data: bytes, path: str = "") -> None:
    """Raise ``Refusal`` (400) with the path of a key that an object in ``data``, which is valid
    JSON and stands at ``path``, has twice. Raises ``RecursionError`` for what is nested too deep.
    """
    try:
        jiter.from_json(data, catch_duplicate_keys=True)
    except ValueError as error:  # or what it does not read: 200 levels, thousands of digits
        if len(data) > LARGE_BODY:  # the rest would hold the interpreter for long
            raise Refusal(f"{error}", path=path) from None
        whole = json.loads(data, object_pairs_hook=_Members, parse_int=str, parse_float=str)
        for place in _repeated(whole):
            where = ".".join([path, *_keys(place)] if path else _keys(place))
            raise Refusal("This key stands twice in its object", path=where) from None


def _repeated(whole: Any) -> Iterator[_Place]:
    """The place of each."""
    left: list[tuple[Any, _Place]] = [(whole, None)]
    while left:
        value, place = left.pop()
        if isinstance(value, _Members):
            known = set()
            for key, inner in value:
                if key in known:
                    yield place, key
                known.add(key)
                left.append((inner, (place, key)))
        elif isinstance(value, list):
            left += ((inner, (place, number)) for number, inner in enumerate(value))


def _keys(place: _Place) -> list[str]:
    keys = []
    while place is not None:
        place, key = place
        keys.append(str(key))
    return keys[::-1]
