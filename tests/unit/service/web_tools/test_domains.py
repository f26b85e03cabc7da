"""Domain lists."""

import pytest

from deepseek_messages.service.web_tools.domains import is_allowed


@pytest.mark.parametrize(
    ("entry", "url", "covers"),
    [
        ("example.com", "https://example.com/x", True),
        ("example.com", "https://www.EXAMPLE.com./x", True),
        ("https://example.com/", "http://example.com", True),
        ("example.com", "https://badexample.com/", False),
        ("example.com", "https://example.com.evil.net/", False),
        ("example.com", "https://evil.net/?example.com", False),
        ("example.com/blog", "https://example.com/blog/1", True),
        ("example.com/blog", "https://example.com/blogger", False),
        ("", "https://example.com/", False),
        ("example.com", "https://[", False),
    ],
)
def test_what_an_entry_covers(entry: str, url: str, covers: bool) -> None:
    assert is_allowed(url, [entry], []) is covers
    assert is_allowed(url, [], [entry]) is not covers


def test_an_empty_list_says_nothing() -> None:
    assert is_allowed("https://example.com/", [], [])
