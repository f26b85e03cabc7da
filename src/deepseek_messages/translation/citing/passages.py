"""Texts cut into passages: the smallest parts of a document that an answer can point at.

A passage of running text is a sentence, as in Anthropic's guide "Citations"; a block of content
is never cut. Cutting is a function of the text alone, linear in its length, so that a replayed
document has the same passages.
"""

import re
from collections.abc import Iterator

# A sentence without an end is cut here, so that one mark cannot quote a whole document.
MAX_PASSAGE_CHARS = 1000

# The end of a sentence, with the quotes and brackets that close it, or an empty line. Chinese
# and Japanese put no space after a full stop. What was taken is not given back (``++``): where a
# row of stops is followed by no blank, none of its ends is.
SENTENCE_END = re.compile(r"[.!?…]++[\"'”’)\]]*+(?=\s)|[。！？]++[”’」』）\"]*+|\n[ \t\r]*+\n")

# Fewer characters than the shortest sentence, as in "Dr." or "1.", do not end one.
MIN_SENTENCE_CHARS = 5


def spans_of(text: str) -> Iterator[tuple[int, int]]:
    """Begin and end (exclusive) of each passage of ``text``, without the blanks around it."""
    start = 0
    while start < len(text):
        end = passage_end(text, start)
        piece = text[start:end]
        stripped = piece.strip()
        if stripped:
            begin = start + piece.index(stripped[0])
            yield begin, begin + len(stripped)
        start = end


def passage_end(text: str, start: int) -> int:
    """Where the passage that begins at ``start`` ends: at a sentence's end, at the limit, or at
    the end of the text.
    """
    limit = min(len(text), start + MAX_PASSAGE_CHARS)
    found = sentence_end(text, start, limit)
    if found is not None:
        return found
    if limit == len(text):
        return limit
    blank = max(text.rfind(" ", start + 1, limit), text.rfind("\n", start + 1, limit))
    return blank + 1 if blank > start else limit


def sentence_end(text: str, start: int, limit: int) -> int | None:
    """The end of the first sentence that begins at ``start`` and ends before ``limit``."""
    for found in SENTENCE_END.finditer(text, start, limit):
        if len(text[start : found.end()].strip()) >= MIN_SENTENCE_CHARS:
            return found.end()
    return None
