"""Pages to text: what a person would read of them, links and structure left out."""

from html.parser import HTMLParser

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


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title = ""
        self.parts: list[str] = []
        self._hidden: list[str] = []
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        if tag == "title":
            self._in_title = True
        elif tag == "body":
            self._hidden.clear()  # a head that was never closed
        elif tag in _HIDDEN:
            self._hidden.append(tag)
        elif tag in _LINES:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False
        elif tag in self._hidden:
            while self._hidden.pop() != tag:
                pass
        elif tag in _LINES:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data
        elif not self._hidden:
            self.parts.append(data)


def read_page(page: Page) -> Text:
    """The text of an HTML or plain page, or a PDF. Raises ``WebError`` for other kinds."""
    if page.media_type == PDF:
        return Text(url=page.url, title="", text="", pdf=page.body)
    if page.media_type in {"text/html", "application/xhtml+xml"}:
        reader = _Reader()
        reader.feed(_decoded(page))
        reader.close()
        lines = (" ".join(line.split()) for line in "".join(reader.parts).splitlines())
        text = "\n".join(line for line in lines if line)
        return Text(url=page.url, title=" ".join(reader.title.split()), text=text)
    if page.media_type.startswith("text/") or page.media_type.endswith(("json", "xml")):
        return Text(url=page.url, title="", text=_decoded(page))
    raise WebError("unsupported_content_type")


def _decoded(page: Page) -> str:
    try:
        return page.body.decode(page.charset, "replace")
    except LookupError:
        return page.body.decode("utf-8", "replace")
