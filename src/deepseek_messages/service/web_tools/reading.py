"""Pages to text: what a person would read of them, links and structure left out."""

import codecs
import re
from collections import Counter
from html import unescape

from msgspec import Struct

from deepseek_messages.service.web_tools.network import Page, WebError
from deepseek_messages.translation.request.documents import PDF


class Text(Struct, frozen=True, kw_only=True):
    """The text of a page, or the file itself where it is a PDF."""

    url: str
    title: str
    text: str
    pdf: bytes | None = None


# What is never read, and what begins a new line (HTML Living Standard, "Rendering").
_HIDDEN = frozenset({"script", "style", "noscript", "template", "svg", "iframe", "head"})
_LINES = frozenset(
    {"p", "div", "br", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "section", "article",
     "pre", "blockquote", "table", "ul", "ol", "dt", "dd", "header", "footer", "main", "nav"}
)  # fmt: skip


# What no tag is looked for in (HTML, "Parsing": raw text and escapable raw text).
_RAW = frozenset({"script", "style", "title", "textarea"})

# A tag from its name on. An attribute's value in quotation marks may hold ">"; nothing is tried
# twice, so a tag without an end costs one look at the rest.
_NAME = re.compile(r"/?([a-zA-Z][^\s/>]*+)")
_REST = re.compile(r"""(?:[^>=]|=\s*+(?:"[^"]*"|'[^']*')?)*+>""")


class _Reader:
    """Reads in one pass: a page is a stranger's, and ``html.parser`` takes days for some."""

    def __init__(self) -> None:
        self.title = ""  # the first one
        self.parts: list[str] = []
        self._hidden: list[str] = []
        self._inside: Counter[str] = Counter()  # as ``_hidden``, for a quick look

    def read(self, html: str) -> None:
        """Take a whole page."""
        at = 0
        while (start := html.find("<", at)) >= 0:
            self._data(html[at:start])
            at = self._markup(html, start)
        self._data(html[at:])

    def _markup(self, html: str, start: int) -> int:
        """What begins with "<" at ``start``; where it ends."""
        if html.startswith("<!--", start):
            return _behind(html, "-->", start + 2)
        if html.startswith(("<!", "<?"), start):
            return _behind(html, ">", start)
        name = _NAME.match(html, start + 1)
        if name is None:
            self._data("<")
            return start + 1
        return self._tag(html, start, name)

    def _tag(self, html: str, start: int, name: re.Match[str]) -> int:
        rest = _REST.match(html, name.end())
        if rest is None:  # the page ends within the tag
            return len(html)
        tag = name[1].lower()
        if html[start + 1] == "/":
            self._end(tag)
            return rest.end()
        self._start(tag)
        if html[rest.end() - 2] == "/":
            self._end(tag)
        elif tag in _RAW:
            return self._raw(html, rest.end(), tag)
        return rest.end()

    def _raw(self, html: str, start: int, tag: str) -> int:
        end = re.compile(rf"</{tag}(?=[\s/>])", re.IGNORECASE).search(html, start)
        stop = len(html) if end is None else end.start()
        if tag == "title":
            self.title = self.title or _unescaped(html[start:stop])
        else:
            self._data(html[start:stop])
        return stop

    def _start(self, tag: str) -> None:
        if tag == "body":  # a head that was never closed
            self._hidden.clear()
            self._inside.clear()
        elif tag in _HIDDEN:
            self._hidden.append(tag)
            self._inside[tag] += 1
        elif tag in _LINES:
            self.parts.append("\n")

    def _end(self, tag: str) -> None:
        if self._inside[tag]:
            while True:
                closed = self._hidden.pop()
                self._inside[closed] -= 1
                if closed == tag:
                    break
        elif tag in _LINES:
            self.parts.append("\n")

    def _data(self, text: str) -> None:
        if text and not self._hidden:
            self.parts.append(_unescaped(text))


def _behind(html: str, end: str, start: int) -> int:
    found = html.find(end, start)
    return len(html) if found < 0 else found + len(end)


def _unescaped(text: str) -> str:
    try:
        return unescape(text)
    except ValueError:  # a number of more digits than Python reads
        return text


def read_page(page: Page) -> Text:
    """The text of an HTML or plain page, or a PDF. Raises ``WebError`` for other kinds."""
    if page.media_type == PDF:
        return Text(url=page.url, title="", text="", pdf=page.body)
    if page.media_type in {"text/html", "application/xhtml+xml"}:
        reader = _Reader()
        reader.read(_decoded(page))
        lines = (" ".join(line.split()) for line in "".join(reader.parts).splitlines())
        text = "\n".join(line for line in lines if line)
        return Text(url=page.url, title=" ".join(reader.title.split()), text=text)
    if page.media_type.startswith("text/") or page.media_type.endswith(("json", "xml")):
        return Text(url=page.url, title="", text=_decoded(page))
    raise WebError("unsupported_content_type")


# Codecs of Python that are no charsets of pages: one takes days for a page, the others fail.
_NO_CHARSETS = frozenset({"punycode", "idna", "undefined", "unicode-escape", "raw-unicode-escape"})


def _decoded(page: Page) -> str:
    """The text, without halves of characters, which cannot be written again."""
    try:
        charset = codecs.lookup(page.charset).name.replace("_", "-")
        charset = "utf-8" if charset in _NO_CHARSETS else charset
        text = page.body.decode(charset, "replace")
    except (LookupError, ValueError):
        text = page.body.decode("utf-8", "replace")
    return text.encode("utf-8", "replace").decode()
