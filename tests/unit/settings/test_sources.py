"""Settings from a file, the environment and flags: what wins, what is refused, in which words."""

from collections.abc import Callable
from pathlib import Path

import pytest

from deepseek_messages.settings import KNOWN, Secret, Settings, SettingsError, find_config
from deepseek_messages.settings import load_settings as load

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "settings.toml"
        path.write_text(text)
        return path

    return write


def test_nothing_set_gives_the_defaults() -> None:
    assert load(None, {}, {}) == Settings()


def test_file_sets(write: Write) -> None:
    settings = load(
        write(
            'strict = true\n[server]\nport = 9000\n[models.aliases]\n"gpt-*" = "deepseek-chat"\n'
        ),
        {},
        {},
    )
    assert (settings.strict, settings.server.port) == (True, 9000)
    assert settings.models.aliases == {"gpt-*": "deepseek-chat"}


def test_environment_beats_file(write: Write) -> None:
    config = write("[server]\nport = 9000\n")
    assert load(config, {"DEEPSEEK_MESSAGES_SERVER_PORT": "9001"}, {}).server.port == 9001


def test_flag_beats_environment() -> None:
    env = {"DEEPSEEK_MESSAGES_SERVER_PORT": "9001"}
    assert load(None, env, {"server.port": 9002}).server.port == 9002


def test_flag_not_given_changes_nothing() -> None:
    env = {"DEEPSEEK_MESSAGES_SERVER_PORT": "9001"}
    assert load(None, env, {"server.port": None}).server.port == 9001


@pytest.mark.parametrize(
    ("variable", "text", "read", "value"),
    [
        ("STRICT", "true", lambda s: s.strict, True),
        ("STRICT", "0", lambda s: s.strict, False),
        ("SERVER_PING_INTERVAL", "2.5", lambda s: s.server.ping_interval, 2.5),
        (
            "SERVER_ALLOWED_HOSTS",
            "a.test, b.test",
            lambda s: s.server.allowed_hosts,
            ("a.test", "b.test"),
        ),
        ("MODELS_ALIASES", "a=b,c=d", lambda s: s.models.aliases, {"a": "b", "c": "d"}),
        ("UPSTREAM_PROXY_FROM_ENV", "no", lambda s: s.upstream.proxy_from_env, False),
        ("STATE_DIR", "/tmp/x", lambda s: s.state_dir, Path("/tmp/x")),
        ("LOG_LEVEL", "debug", lambda s: s.log.level, "debug"),
    ],
)
def test_variables_are_read_as_their_settings_type(
    variable: str, text: str, read: Callable[[Settings], object], value: object
) -> None:
    assert read(load(None, {f"DEEPSEEK_MESSAGES_{variable}": text}, {})) == value


def test_empty_variable_counts_as_unset() -> None:
    env = {"DEEPSEEK_MESSAGES_SERVER_PORT": "", "DEEPSEEK_API_KEY": "", "DEEPSEEK_BASE_URL": ""}
    assert load(None, env, {}) == Settings()


@pytest.mark.parametrize("name", list(KNOWN))
def test_every_setting_has_a_sentence_and_a_variable_of_its_own(name: str) -> None:
    assert KNOWN[name].description.endswith(".")
    assert [other.name for other in KNOWN.values() if other.env == KNOWN[name].env] == [name]


# --- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[server]\nprot = 1\n", "server.prot: unknown setting; did you mean server.port?"),
        ("[sevrer]\nport = 1\n", "sevrer: unknown setting; did you mean server?"),
        ("port = 1\n", "port: unknown setting; did you mean server.port?"),
        ("[server.port]\nx = 1\n", "server.port: Expected int, got object"),
        ("server = 3\n", "server: is a section"),
        ('[server]\nport = "8000"\n', "server.port: Expected int, got str"),
        ("[server]\nport = 70000\n", "server.port: Expected int <= 65535"),
        (
            "[server]\nallowed_hosts = [1]\n",
            "server.allowed_hosts: Expected str, got int, item [0]",
        ),
        (
            '[log]\nlevel = "loud"\n',
            "log.level: Invalid enum value 'loud', not one of debug, info, warning, error (",
        ),
        (
            '[upstream]\nkind = "chatt"\n',
            "'chatt', not one of embedded, chat, tokens, double, auto (",
        ),
        ("[upstream]\napi_key = 7\n", "upstream.api_key: Expected str"),
        ("[upstream]\napi_key = ' '\n", "upstream.api_key: Expected a non-empty string"),
        ("x = \n", "not valid TOML"),
        ("state_dir = 5\n", "state_dir: Expected str"),
    ],
)
def test_file_mistakes_are_named_by_key_and_file(write: Write, text: str, message: str) -> None:
    config = write(text)
    with pytest.raises(SettingsError) as caught:
        load(config, {}, {})
    assert message in str(caught.value)
    assert str(config) in str(caught.value)


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (
            {"DEEPSEEK_MESSAGES_SERVER_PROT": "1"},
            "SERVER_PROT: unknown setting; did you mean DEEPSEEK_MESSAGES_SERVER_PORT?",
        ),
        (
            {"DEEPSEEK_MESSAGES_SERVER_PORT": "eighty"},
            "server.port: Expected int, got str (DEEPSEEK_MESSAGES_SERVER_PORT)",
        ),
        ({"DEEPSEEK_MESSAGES_STRICT": "maybe"}, "strict: Expected bool, got str"),
        ({"DEEPSEEK_MESSAGES_UPSTREAM": "deepsek"}, "'deepsek' is no upstream"),
        ({"DEEPSEEK_MESSAGES_AUTH_KEY_DIGESTS": "abc"}, "auth.key_digests: Expected str matching"),
    ],
)
def test_variable_mistakes_are_named_by_variable(env: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(None, env, {})
    assert message in str(caught.value)


def test_foreign_variables_are_left_alone() -> None:
    assert load(None, {"DEEPSEEK_MESSAGE": "x", "PATH": "/bin"}, {}) == Settings()


# --- which upstream ---------------------------------------------------------------------------

KEY = {"DEEPSEEK_API_KEY": "sk-1"}
URL = {"DEEPSEEK_BASE_URL": "http://127.0.0.1:1/v1"}


@pytest.mark.parametrize(
    ("env", "upstream", "kind", "url", "key"),
    [
        ({}, None, "embedded", "https://api.deepseek.com", None),
        (KEY, None, "chat", "https://api.deepseek.com", "sk-1"),
        (URL, None, "chat", "http://127.0.0.1:1/v1", None),
        (KEY | URL, None, "chat", "http://127.0.0.1:1/v1", "sk-1"),
        (KEY, "embedded", "embedded", "https://api.deepseek.com", "sk-1"),
        (URL, "double", "double", "http://127.0.0.1:1/v1", None),
        ({}, "deepseek", "chat", "https://api.deepseek.com", None),
        (KEY | URL, "deepseek", "chat", "https://api.deepseek.com", "sk-1"),
        ({}, "http://h:1/v1/", "chat", "http://h:1/v1", None),
        # DeepSeek's key is not for other servers, and not for DeepSeek without TLS.
        (KEY, "http://h:1/v1", "chat", "http://h:1/v1", None),
        (KEY, "http://api.deepseek.com", "chat", "http://api.deepseek.com", None),
        (
            KEY,
            "https://api.deepseek.com.evil.test",
            "chat",
            "https://api.deepseek.com.evil.test",
            None,
        ),
        (KEY | URL, "http://127.0.0.1:1/beta", "chat", "http://127.0.0.1:1/beta", "sk-1"),
        (KEY | URL, "http://127.0.0.1:2/v1", "chat", "http://127.0.0.1:2/v1", None),
    ],
)
def test_upstream(
    env: dict[str, str], upstream: str | None, kind: str, url: str, key: str | None
) -> None:
    settings = load(None, env, {"upstream": upstream})
    held = settings.upstream.api_key
    assert (settings.upstream_kind, settings.upstream.url) == (kind, url)
    assert (held.reveal() if held else None) == key


def test_variable_chooses_the_upstream() -> None:
    assert load(None, {"DEEPSEEK_MESSAGES_UPSTREAM": "double"} | KEY, {}).upstream_kind == "double"


def test_own_key_variable_goes_to_any_server() -> None:
    env = KEY | {"DEEPSEEK_MESSAGES_UPSTREAM_API_KEY": "sk-2"}
    assert load(None, env, {"upstream": "http://h/v1"}).upstream.api_key == Secret("sk-2")


def test_deepseek_key_beats_the_files_for_deepseek(write: Write) -> None:
    config = write('[upstream]\napi_key = "sk-file"\n')
    assert load(config, KEY, {}).upstream.api_key == Secret("sk-1")


def test_model_flag_names_the_embedded_model() -> None:
    assert load(None, {}, {"model": "hf:a/b"}).embedded.model == "hf:a/b"


def test_model_flag_names_the_chat_servers_model() -> None:
    settings = load(None, KEY, {"model": "deepseek-v4-pro"})
    assert settings.upstream.model == "deepseek-v4-pro"
    assert settings.embedded == Settings().embedded


# --- which file -------------------------------------------------------------------------------


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("platformdirs.user_config_path", lambda _: tmp_path / "user")
    return tmp_path


def test_no_file_is_found(places: Path) -> None:
    assert find_config(None, {}) is None


def test_files_are_searched_in_order(places: Path) -> None:
    user, here = places / "user" / "config.toml", places / "deepseek-messages.toml"
    named, flag = places / "named.toml", places / "flag.toml"
    env = {"DEEPSEEK_MESSAGES_CONFIG": str(named)}
    found = []
    user.parent.mkdir()
    for path in (user, here, named, flag):
        path.touch()
        found.append(find_config(flag if path == flag else None, env if named.exists() else {}))
    assert found == [user, Path(here.name), named, flag]


@pytest.mark.parametrize("env", [{}, {"DEEPSEEK_MESSAGES_CONFIG": "absent.toml"}])
def test_file_asked_for_must_exist(places: Path, env: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"absent\.toml: there is no such settings file"):
        find_config(None if env else Path("absent.toml"), env)
