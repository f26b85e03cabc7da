"""Which combinations of settings may not start."""

import pytest

from deepseek_messages.settings import SettingsError, load_settings

CHAT = {"DEEPSEEK_API_KEY": "sk-1"}
DIGEST = "0" * 64


@pytest.mark.parametrize(
    ("env", "flags", "mode"),
    [
        ({}, {}, "open"),
        ({}, {"upstream": "double"}, "open"),
        (CHAT, {}, "keys"),
        (CHAT, {"upstream": "embedded"}, "open"),
        ({}, {"upstream": "deepseek"}, "pass-through"),
        ({}, {"upstream": "http://127.0.0.1:1"}, "pass-through"),
        ({}, {"auth.key_digests": [DIGEST]}, "keys"),
        ({}, {"auth.keys_file": "/tmp/keys"}, "keys"),
        (CHAT, {"auth.mode": "pass-through"}, "pass-through"),
        # public binds
        ({}, {"server.host": "0.0.0.0", "auth.mode": "keys"}, "keys"),
        ({}, {"server.host": "0.0.0.0", "upstream": "deepseek"}, "pass-through"),
        (CHAT, {"server.host": "::"}, "keys"),
        (
            {},
            {"server.host": "::", "upstream": "http://localhost:1", "auth.mode": "pass-through"},
            "pass-through",
        ),
        # other names of this machine
        ({}, {"server.host": "localhost"}, "open"),
        ({}, {"server.host": "127.8.8.8"}, "open"),
        ({}, {"server.host": "::1"}, "open"),
    ],
)
def test_auth_mode(env: dict[str, str], flags: dict[str, object], mode: str) -> None:
    assert load_settings(None, env, flags).auth_mode == mode


@pytest.mark.parametrize(
    ("env", "flags", "message"),
    [
        ({}, {"server.host": "0.0.0.0"}, "server.host: 0.0.0.0 is public and no key is asked for"),
        ({}, {"server.host": "", "upstream": "double"}, "is public and no key is asked for"),
        ({}, {"server.host": "gateway.test"}, "gateway.test is public"),
        (CHAT, {"auth.mode": "open"}, 'auth.mode: "open" is for the embedded and double'),
        (
            {},
            {"server.host": "0.0.0.0", "upstream": "http://localhost:1/v1"},
            "http://localhost:1/v1 may answer without a key",
        ),
        ({}, {"upstream": "ftp://x"}, "upstream.base_url: it is no http:// or https:// URL"),
        (CHAT, {"upstream": "http://[::1"}, "it is no http:// or https:// URL"),
        (CHAT, {"upstream": "http://h:port"}, "it is no http:// or https:// URL"),
        ({}, {"upstream": "http://"}, "it is no http:// or https:// URL"),
        ({}, {"upstream.dialect": "vlm"}, "upstream.dialect: 'vlm' is none of auto, "),
        ({}, {"upstream.dialect": "vlm"}, "did you mean vllm?"),
        ({}, {"tools.web_search": "searxng"}, "tools.web_search_url: searxng has no default"),
        ({}, {"tools.web_search_url": "x"}, "tools.web_search_url: it is no http://"),
        ({}, {"tools.web_search": "tavily"}, "tools.web_search_key: tavily asks for a key"),
        ({}, {"tools.web_search": "brave"}, "tools.web_search_key: brave asks for a key"),
        ({}, {"upstream": "https://u:secret@h/v1"}, "upstream.base_url: it holds a password"),
        ({}, {"upstream": "https://h/v1?key=secret"}, "upstream.base_url: it holds a password"),
        ({}, {"upstream": "ftp://u:secret@h/v1"}, "upstream.base_url: it is no http://"),
    ],
)
def test_unsafe_or_unusable(env: dict[str, str], flags: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(None, env, flags)
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)
