"""What the model reads of a server tool's result: the same text in the answer itself and in every
later turn, made of the block that the client got.

What was found on the web can be cited, and so can a fetched page where the tool's ``citations``
say so: its passages are numbered as those of documents are.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from deepseek_messages.translation.citing.citations import INSTRUCTION
from deepseek_messages.translation.citing.sources import Library
from deepseek_messages.translation.hosted.server_tools import Kind
from deepseek_messages.translation.request.documents import (
    numbered,
    numbered_pages,
    passages_of,
    plain_pages,
)
from deepseek_messages.translation.seal import Seal

# Text of one result that the model reads. Claude Code shows a fetched page up to 100,000
# characters.
MAX_RESULT_CHARS = 100_000

ERROR = "[tool error]"


class Reading(Struct, frozen=True, kw_only=True):
    """What reading the result of one call takes. ``citable`` gets what may be cited of it."""

    call_id: str  # as the client knows it
    seal: Seal
    citable: Library


def readable(kind: Kind, content: Raw, reading: Reading, *, is_error: bool = False) -> str:
    """The text of a result block's ``content``. Anything may stand there: clients send it back."""
    try:
        value = msgspec.json.decode(content)
    except msgspec.DecodeError:
        return ERROR
    if isinstance(value, dict) and "error_code" in value:
        return f"{ERROR} {value['error_code']}"
    text = _READERS[kind](value, reading)
    return f"{ERROR} {text}" if is_error else text


# --- the web --------------------------------------------------------------------------------------


def _search_text(value: Any, reading: Reading) -> str:
    lead = _lead(reading.citable)
    parts: list[str] = []
    left = MAX_RESULT_CHARS
    for place, page in enumerate(_dicts(value)):
        if left <= 0:
            break
        title, url = str(page.get("title", "")), str(page.get("url", ""))
        age = f" ({page['page_age']})" if page.get("page_age") else ""
        head = f"{place + 1}. {title}{age}\n{url}"
        hidden = page.get("encrypted_content")
        excerpt = (reading.seal.open(hidden) if isinstance(hidden, str) else None) or ""
        excerpt = excerpt[:left]
        left -= len(head) + len(excerpt)
        if reading.citable.cites_hosted:
            passages = passages_of(excerpt)
            first = reading.citable.add(
                "web_result", place, passages, title=title, source=url, call=reading.call_id
            )
            excerpt = numbered(excerpt, passages, first)
        parts.append(f"{head}\n{excerpt}" if excerpt else head)
    found = "\n\n".join(parts) or "Nothing was found."
    return found if reading.citable.empty else lead + found


def _fetch_text(value: Any, reading: Reading) -> str:
    document = value.get("content") if isinstance(value, dict) else None
    if not isinstance(document, dict):
        return ""
    title = document.get("title") if isinstance(document.get("title"), str) else None
    head = f"{title}\n" if title else ""
    head += f"{value.get('url', '')}\n\n"
    library = reading.citable
    index = library.skip(search_result=False)
    citations = document.get("citations")
    cites = library.cites_hosted and isinstance(citations, dict) and bool(citations.get("enabled"))
    lead = _lead(library) if cites else ""
    match document.get("source"):
        case {"type": "text", "data": str(data)}:
            text = data[:MAX_RESULT_CHARS]
            passages = passages_of(text) if cites else []
            first = library.add("text", index, passages, title=title, text=text)
            return lead + head + numbered(text, passages, first)
        case {"type": "pages", "pages": list(pages)}:
            texts = _within([page for page in pages if isinstance(page, str)])
            shown = numbered_pages(texts, library, index, title) if cites else plain_pages(texts)
            return lead + head + shown
        case _:
            return f"{head}[a document that cannot be shown to this model]"


def _within(pages: Sequence[str]) -> list[str]:
    """The pages that a result has room for; the last one may be cut."""
    left = MAX_RESULT_CHARS
    kept: list[str] = []
    for page in pages:
        if left <= 0:
            break
        kept.append(page[:left])
        left -= len(page)
    return kept


def with_pages(content: Raw, pages: Sequence[str]) -> Raw:
    """The content of a fetch's result for the model to read, with its PDF as ``pages``. Never
    travels.
    """
    value = msgspec.json.decode(content)
    value["content"]["source"] = {"type": "pages", "pages": list(pages)}
    return Raw(msgspec.json.encode(value))


def fetched_pdf(content: Raw) -> str | None:
    """The PDF in the content of a fetch's result, as base64."""
    if b"application/pdf" not in bytes(content):
        return None
    try:
        value = msgspec.json.decode(content)
    except msgspec.DecodeError:
        return None
    match value:
        case {"content": {"source": {"type": "base64", "media_type": "application/pdf"} as source}}:
            data = source.get("data")
            return data if isinstance(data, str) else None
        case _:
            return None


def fetched_documents(content: Raw) -> int:
    """How many documents the content of a fetch's result holds."""
    try:
        value = msgspec.json.decode(content)
    except msgspec.DecodeError:
        return 0
    return int(isinstance(value, dict) and isinstance(value.get("content"), dict))


def _lead(library: Library) -> str:
    """How to cite, before the first source of the conversation."""
    return f"{INSTRUCTION}\n\n" if library.cites_hosted and library.empty else ""


# --- MCP servers and tool search ------------------------------------------------------------------


def _mcp_text(value: Any, _reading: Reading) -> str:
    if isinstance(value, str):
        return value[:MAX_RESULT_CHARS]
    text = "\n\n".join(
        str(block.get("text", f"[{block.get('type')} left out]")) for block in _dicts(value)
    )
    return text[:MAX_RESULT_CHARS]


def _found_text(value: Any, _reading: Reading) -> str:
    names = references(value)
    text = f"Tools found: {', '.join(names)}" if names else "No tool was found."
    return text[:MAX_RESULT_CHARS]


def references(value: Any) -> list[str]:
    """The tool names in the content of a ``tool_search_tool_result``."""
    listed = value.get("tool_references") if isinstance(value, dict) else None
    names = (each.get("tool_name") for each in _dicts(listed))
    return [name for name in names if isinstance(name, str) and name]


def with_definitions(text: str, lines: Sequence[str]) -> str:
    """A tool search's result with the definitions of the tools it found, in DeepSeek's form for
    tools that are loaded in the middle of a conversation.
    """
    return f"{text}\n\n### Updated Tool Schemas\n\n" + "\n".join(lines) if lines else text


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


_READERS: dict[Kind, Callable[[Any, Reading], str]] = {
    "web_search": _search_text,
    "web_fetch": _fetch_text,
    "tool_search_tool_regex": _found_text,
    "tool_search_tool_bm25": _found_text,
    "mcp": _mcp_text,
}
