"""Addresses, keys and proxies of upstreams."""

import pytest
from yarl import URL

from deepseek_messages.upstreams.http.origin import Origin, checked_key


@pytest.mark.parametrize(
    ("base", "path", "address"),
    [
        ("https://api.deepseek.com", "/chat/completions", "/chat/completions"),
        ("https://api.deepseek.com/", "/chat/completions", "/chat/completions"),
        ("https://api.deepseek.com/v1", "/chat/completions", "/v1/chat/completions"),
        ("https://api.deepseek.com/v1", "/beta/chat/completions", "/beta/chat/completions"),
        ("https://api.deepseek.com/beta", "/beta/chat/completions", "/beta/chat/completions"),
        ("https://api.deepseek.com/anthropic", "/chat/completions", "/chat/completions"),
        ("https://api.deepseek.com/anthropic", "/models", "/models"),
        ("http://h:8000", "/v1/chat/completions", "/v1/chat/completions"),
        ("http://h:8000/v1", "/v1/chat/completions", "/v1/chat/completions"),
        ("http://h:8000/v1/", "/v1/models", "/v1/models"),
        ("http://h/v1/chat/completions", "/v1/chat/completions", "/v1/chat/completions"),
        ("http://h/v1/models", "/v1/chat/completions", "/v1/chat/completions"),
        ("http://h/api/v3", "/v1/chat/completions", "/api/v3/chat/completions"),
        ("http://h/tenant", "/v1/chat/completions", "/tenant/v1/chat/completions"),
        ("  http://h/v1  ", "/v1/models", "/v1/models"),
    ],
)
def test_an_api_address_is_below_the_base(base: str, path: str, address: str) -> None:
    assert Origin(base).api(path).path == address


@pytest.mark.parametrize(
    ("base", "address"),
    [("http://h", "/props"), ("http://h/v1", "/props"), ("http://h/tenant/v1", "/tenant/props")],
)
def test_a_root_address_is_beside_the_api(base: str, address: str) -> None:
    assert Origin(base).root("/props").path == address


@pytest.mark.parametrize("path", ["/v1/models", "//evil.example/x", "/../../x"])
def test_every_address_stays_on_the_origin(path: str) -> None:
    origin = Origin("https://api.deepseek.com/v1")
    for url in (origin.api(path), origin.root(path)):
        assert url.origin() == URL("https://api.deepseek.com")


@pytest.mark.parametrize(
    "base",
    [
        "",
        "api.deepseek.com",
        "localhost:8000",
        "ftp://h",
        "file:///etc/passwd",
        "http://",
        "http://user:secret@h",
        "http://h?key=secret",
        "http://h#x",
        "http://[::1",
        "http://h:port",
    ],
)
def test_what_is_no_address_is_refused(base: str) -> None:
    with pytest.raises(ValueError, match="address") as caught:
        Origin(base)
    assert "secret" not in str(caught.value)


def test_the_label_is_scheme_host_and_port() -> None:
    assert Origin("http://h:8000/v1").label == "http://h:8000"


@pytest.mark.parametrize(("key", "bare"), [(None, None), ("", None), (" sk-1\n", "sk-1")])
def test_blanks_around_a_key_are_dropped(key: str | None, bare: str | None) -> None:
    assert checked_key(key) == bare


PROXY_CASES: list[tuple[dict[str, str], str, str | None]] = [
    ({}, "http://h", None),
    ({"http_proxy": "http://p:1"}, "http://h", "http://p:1"),
    ({"http_proxy": "p:1"}, "http://h", "http://p:1"),
    ({"http_proxy": "http://p:1"}, "https://h", None),
    ({"https_proxy": "http://p:2"}, "https://h", "http://p:2"),
    ({"all_proxy": "http://p:3"}, "https://h", "http://p:3"),
    ({"all_proxy": "http://p:3", "no_proxy": "h"}, "https://h", None),
    ({"http_proxy": "http://p:1", "no_proxy": "h:8000"}, "http://h:8000", None),
    ({"http_proxy": "http://p:1", "no_proxy": "h:8001"}, "http://h:8000", "http://p:1"),
    ({"http_proxy": "http://p:1", "no_proxy": ".example"}, "http://a.example", None),
    ({"http_proxy": "http://p:1", "no_proxy": "*"}, "http://h", None),
    ({"http_proxy": "http://p:1", "no_proxy": "a, h"}, "http://h", None),
]


@pytest.mark.parametrize(("env", "base", "proxy"), PROXY_CASES)
def test_the_proxy_is_the_environments(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], base: str, proxy: str | None
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    found = Origin(base).proxy()
    assert found == (None if proxy is None else URL(proxy))


def test_a_socks_proxy_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "socks5://p:1")
    with pytest.raises(ValueError, match="socks5"):
        Origin("https://h").proxy()
