"""Pages to text: what a person would read, in time that grows with the page and no faster."""

import pytest

from deepseek_messages.service.web_tools.network import Page
from deepseek_messages.service.web_tools.reading import Text, read_page


def read(body: str | bytes, charset: str = "utf-8") -> Text:
    data = body.encode() if isinstance(body, str) else body
    return read_page(Page("https://example.com/", "text/html", charset, data))


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>One</p><p>two &amp; three</p>", "One\ntwo & three"),
        ("a<br/>b<b>c</b>", "a\nbc"),
        ("<head><meta x=1></head><body>seen", "seen"),
        ("<head><body>a head that was never closed", "a head that was never closed"),
        ("a<script>if (1 < 2) '</p>';</script>b", "ab"),
        ("a<SCRIPT>x</Script >b<style>p > a {}</style>c", "abc"),
        ("a<script>never closed", "a"),
        ("a<svg><text>x</text></svg>b<svg/>c", "abc"),
        ("a<svg><iframe>x</svg>b", "ab"),
        ("a<!-- <p>x --> b<!-->c<!DOCTYPE html><?php x?>d", "a bcd"),
        ('<a title="1 > 2">x</a>', "x"),
        ("<a title='1 > 2'>x</a>", "x"),
        ("<a title=it's>x</a> it's", "x it's"),
        ("1 < 2 <3 </ b", "1 < 2 <3 </ b"),
        ("a<b", "a"),
        ("&#" + "9" * 5000 + "; is none", "&#" + "9" * 5000 + "; is none"),
    ],
)
def test_what_a_person_would_read(html: str, text: str) -> None:
    assert read(html).text == text


def test_the_title() -> None:
    found = read("<head><title> A &lt;b> \n c </title></head><body>x<title>y</title>")
    assert (found.title, found.text) == ("A <b> c", "x")


# Pieces that parsers have looked for the end of again and again.
HOSTILE = [
    "<!--", "<![CDATA[", "<!", "<?", "<a", "</", "<a a=", "<a '", '<a b="', "<a b='\" ", "&", "&#1",
    "<script>", "<script></", "<script><style>", "<title>", "<title>a<b>", "<svg>", "<head ", "<",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_hostile_page_is_read_like_any_other(piece: str) -> None:
    read(piece * 200_000)  # took days


def test_what_is_hidden_is_not_looked_through_at_each_tag() -> None:
    read("<svg>" * 200_000 + "</b>" * 200_000)  # took an hour
    read("<svg>" * 200_000 + "</iframe>" * 200_000)


@pytest.mark.parametrize("charset", ["punycode", "idna", "undefined", "hex", "no-such", "a\0b"])
def test_a_charset_that_is_none_of_texts_is_read_as_utf8(charset: str) -> None:
    assert read("é" + "a" * 1_000_000, charset).text.startswith("é")  # punycode: took days


@pytest.mark.parametrize(
    ("charset", "body"), [("utf-7", b"a+2AA-b"), ("unicode_escape", b"a\\ud800b")]
)
def test_what_is_no_character_is_replaced(charset: str, body: bytes) -> None:
    """It could not be written to the client."""
    assert read(body, charset).text.encode()
