"""The header that tells what a translation changed."""

from collections.abc import Sequence

from deepseek_messages.translation.notes import Note
from deepseek_messages.web.exchange import Header

NAME = b"deepseek-messages-notes"

# Servers and proxies commonly refuse header lines above 4 to 8 KiB (nginx: proxy_buffer_size).
MAX_LENGTH = 1024


def notes_header(notes: Sequence[Note]) -> list[Header]:
    """What was changed, as far as it fits; no header if nothing was."""
    if not notes:
        return []
    texts = list(dict.fromkeys(_plain(str(note)) for note in notes))
    line, used = "", 0
    for text in texts:
        longer = f"{line}, {text}" if line else text
        if len(longer) > MAX_LENGTH:
            break
        line, used = longer, used + 1
    if used < len(texts):
        rest = f"+{len(texts) - used} more"
        line = f"{line}, {rest}" if line else rest
    return [(NAME, line.encode("ascii"))]


def _plain(text: str) -> str:
    """Visible ASCII only, without the comma that separates notes."""
    return "".join(c if " " <= c <= "~" and c != "," else "?" for c in text)
