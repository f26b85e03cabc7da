"""Reading settings: a TOML file, then the environment, then flags."""

import difflib
import tomllib
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import platformdirs

from deepseek_messages.settings.addresses import split_url
from deepseek_messages.settings.known import ENV_PREFIX, KNOWN, MEMBER, SECTIONS, TABLES
from deepseek_messages.settings.rules import check_settings
from deepseek_messages.settings.secret import Secret
from deepseek_messages.settings.tree import APP_NAME, Settings
from deepseek_messages.settings.upstreams import DEEPSEEK_URL, MemberSettings
from deepseek_messages.translation.dialects import DEEPSEEK, by_host

CONFIG_ENV = ENV_PREFIX + "CONFIG"
UPSTREAM_ENV = ENV_PREFIX + "UPSTREAM"
KEY_ENV = ENV_PREFIX + "KEY"  # a client's key, read by commands that act as a client
KEY_VARIABLE = "DEEPSEEK_API_KEY"
URL_VARIABLE = "DEEPSEEK_BASE_URL"
CONFIG_NAME = "deepseek-messages.toml"

_ENV_NAMES = {setting.env: setting for setting in KNOWN.values()}
_TRUTHS = {"1": True, "true": True, "yes": True, "on": True}
_FALSEHOODS = {"0": False, "false": False, "no": False, "off": False}


class SettingsError(Exception):
    """Settings that cannot be used; the text names the key, where it stands, and what to do."""


class Source(NamedTuple):
    """Where settings came from: the file, if there is one, and how to read them all again
    (``read`` raises ``SettingsError``).
    """

    path: Path | None
    read: Callable[[], Settings]


class _Value(NamedTuple):
    value: Any
    source: str  # for messages: a file's path, a variable's name, a flag


_Values = dict[str, _Value]  # by dotted name


def load_settings(
    config: Path | None, env: Mapping[str, str], flags: Mapping[str, object]
) -> Settings:
    """Read and check every setting. ``config`` is a TOML file (``None``: none is read);
    ``flags`` maps dotted names (``server.port``) to values, ``None`` meaning not given, and may
    hold ``upstream`` (``deepseek``, ``embedded``, ``double`` or a URL) and ``model``.
    Raises ``SettingsError``.
    """
    values: _Values = {}
    if config is not None:
        values |= _from_file(config)
    values |= _from_environment(env)
    values |= _from_flags(flags)
    values = _one_or_many(values)
    if TABLES not in values:
        values |= _deepseek_key(values, env)
    elif flags.get("model") is not None:
        raise SettingsError("--model: with [[upstreams]] each table names its own model")
    settings = _convert(values, env)
    settings = _with_model(settings, flags.get("model"))
    if problems := check_settings(settings):
        raise SettingsError("\n".join(problems))
    return settings


def find_config(explicit: Path | None, env: Mapping[str, str]) -> Path | None:
    """The settings file to read: ``explicit``, else ``$DEEPSEEK_MESSAGES_CONFIG``, else
    ``deepseek-messages.toml`` here or ``config.toml`` in the user's configuration directory;
    ``None`` when there is none. Raises ``SettingsError`` when a file asked for is missing.
    """
    asked = explicit or (Path(env[CONFIG_ENV]) if env.get(CONFIG_ENV) else None)
    if asked is not None:
        if not asked.is_file():
            raise SettingsError(f"{asked}: there is no such settings file")
        return asked
    places = (Path(CONFIG_NAME), platformdirs.user_config_path(APP_NAME) / "config.toml")
    return next((place for place in places if place.is_file()), None)


# --- the three sources ---------------------------------------------------------------------


def _from_file(path: Path) -> _Values:
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not valid TOML: {error}") from None
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if key == TABLES:
            _refuse_unless_tables(value, path)
            flat[key] = value
        elif key not in SECTIONS:
            flat[key] = value
        elif isinstance(value, dict):
            flat |= {f"{key}.{name}": inner for name, inner in value.items()}
        else:
            raise SettingsError(f"{key}: is a section, write [{key}] above its keys ({path})")
    _refuse_unknown(flat, KNOWN.keys() | SECTIONS | {TABLES}, str(path))
    return {name: _Value(value, str(path)) for name, value in flat.items()}


def _refuse_unless_tables(value: Any, path: Path) -> None:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise SettingsError(f"{TABLES}: is a list of tables, write [[{TABLES}]] ({path})")
    for number, table in enumerate(value):
        where = f"{TABLES}.{number}."
        known = [where + name for name in MEMBER]
        _refuse_unknown([where + name for name in table], known, str(path))


def _one_or_many(values: _Values) -> _Values:
    """``[[upstreams]]`` or ``[upstream]``, not both. An upstream that a flag or
    ``DEEPSEEK_MESSAGES_UPSTREAM`` names stands for all; ``DEEPSEEK_BASE_URL`` does not: it may be
    set for other programs.
    """
    if TABLES not in values:
        return values
    single = {name: value for name, value in values.items() if name.startswith("upstream.")}
    kind = single.get("upstream.kind")
    if kind is not None and kind.source in (UPSTREAM_ENV, "--upstream"):
        return {name: value for name, value in values.items() if name != TABLES}
    for name, value in single.items():
        if value.source != URL_VARIABLE:
            raise SettingsError(f"{name}: has no meaning beside [[{TABLES}]] ({value.source})")
    return {name: value for name, value in values.items() if name not in single}


def _from_environment(env: Mapping[str, str]) -> _Values:
    ours = {name: text for name, text in env.items() if name.startswith(ENV_PREFIX) and text}
    special = {CONFIG_ENV, UPSTREAM_ENV, KEY_ENV}
    _refuse_unknown(ours, _ENV_NAMES.keys() | special, "environment")
    values: _Values = {}
    if env.get(URL_VARIABLE):
        values["upstream.base_url"] = _Value(env[URL_VARIABLE], URL_VARIABLE)
    if env.get(UPSTREAM_ENV):
        values |= _upstream(env[UPSTREAM_ENV], UPSTREAM_ENV)
    for name, text in ours.items():
        if name not in special:
            setting = _ENV_NAMES[name]
            values[setting.name] = _Value(_from_text(setting.type, text), name)
    return values


def _from_flags(flags: Mapping[str, object]) -> _Values:
    given = {name: value for name, value in flags.items() if value is not None}
    given.pop("model", None)
    upstream = given.pop("upstream", None)
    _refuse_unknown(given, KNOWN, "flags")
    values = _upstream(str(upstream), "--upstream") if upstream is not None else {}
    return values | {name: _Value(value, "command line") for name, value in given.items()}


def _upstream(word: str, source: str) -> _Values:
    """``deepseek``, ``embedded``, ``double`` or a URL, as settings."""
    if word in ("embedded", "double"):
        return {"upstream.kind": _Value(word, source)}
    url = DEEPSEEK_URL if word == "deepseek" else word
    if "://" not in url:
        raise SettingsError(
            f"{word!r} is no upstream: use deepseek, embedded, double, or a URL such as "
            f"http://127.0.0.1:8080/v1 ({source})"
        )
    return {"upstream.kind": _Value("chat", source), "upstream.base_url": _Value(url, source)}


def _deepseek_key(values: _Values, env: Mapping[str, str]) -> _Values:
    """``DEEPSEEK_API_KEY`` is for DeepSeek and for ``DEEPSEEK_BASE_URL``. It never travels to
    another server that a flag or a file names: that one's key is ``upstream.api_key``.
    """
    key = env.get(KEY_VARIABLE)
    explicit = values.get("upstream.api_key")
    if not key or (explicit is not None and explicit.source.startswith(ENV_PREFIX)):
        return {}
    base_url = values.get("upstream.base_url")
    if base_url is not None and not _is_key_for(str(base_url.value), env.get(URL_VARIABLE)):
        return {}
    return {"upstream.api_key": _Value(key, KEY_VARIABLE)}


def _is_key_for(url: str, deepseek_base_url: str | None) -> bool:
    parts = split_url(url)
    if parts is None:
        return False
    if parts.scheme == "https" and by_host(parts.hostname or "") is DEEPSEEK:
        return True
    own = split_url(deepseek_base_url or "")
    return own is not None and (parts.scheme, parts.netloc) == (own.scheme, own.netloc)


def _with_model(settings: Settings, model: object) -> Settings:
    """``--model`` names the chat server's model or the embedded one, whichever is used."""
    if model is None:
        return settings
    name = str(model)
    if settings.upstream_kind == "embedded":
        embedded = msgspec.structs.replace(settings.embedded, model=name)
        return msgspec.structs.replace(settings, embedded=embedded)
    upstream = msgspec.structs.replace(settings.upstream, model=name)
    return msgspec.structs.replace(settings, upstream=upstream)


# --- values --------------------------------------------------------------------------------


def _from_text(annotation: Any, text: str) -> Any:
    """A variable's text as the value its setting's type wants; what does not fit stays text,
    and is refused with everything else by ``_convert``.
    """
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return _from_text(typing.get_args(annotation)[0], text)
    if origin is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    if origin is dict:
        return dict(_pair(part) for part in text.split(",") if part.strip())
    if annotation is bool:
        return (_TRUTHS | _FALSEHOODS).get(text.lower(), text)
    return _number(annotation, text) if annotation in (int, float) else text


def _number(kind: type[int] | type[float], text: str) -> int | float | str:
    try:
        return kind(text)
    except ValueError:
        return text


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip(), value.strip()


def _refuse_unknown(names: Iterable[str], known: Iterable[str], source: str) -> None:
    possible = sorted(known)
    for name in names:
        if name in possible:
            continue
        near = difflib.get_close_matches(name, possible, n=1, cutoff=0.5)
        last = [other for other in possible if other.split(".")[-1] == name.split(".")[-1]]
        best = (last or near or [""])[0]
        hint = f"; did you mean {best}?" if best else ""
        raise SettingsError(f"{name}: unknown setting{hint} ({source})")


def _decode(kind: type, value: Any) -> Any:
    if kind is Secret:
        return Secret(value)
    if kind is Path:
        if not isinstance(value, str | Path):
            raise TypeError("Expected `str`")
        try:
            return Path(value).expanduser()
        except RuntimeError as error:  # the home of somebody who is not known
            raise ValueError(str(error)) from None
    raise TypeError(f"no setting is a {kind.__name__}")


def _checked(name: str, value: Any, kind: Any, source: str) -> None:
    try:
        msgspec.convert(value, kind, dec_hook=_decode)
    except msgspec.ValidationError as error:
        reason = str(error).replace("`", "").replace(" - at $", ", item ")
        if reason.startswith("Invalid enum value"):
            reason += f", not one of {', '.join(_choices(kind))}"
        raise SettingsError(f"{name}: {reason} ({source})") from None


def _choices(kind: Any) -> list[str]:
    """What the literals in a setting's type allow."""
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is typing.Literal:
        return [str(choice) for choice in arguments]
    return [choice for inner in arguments for choice in _choices(inner)]


def _members(tables: list[dict[str, Any]], source: str, env: Mapping[str, str]) -> Any:
    members = []
    for number, table in enumerate(tables):
        where = f"{TABLES}.{number}"
        if "name" not in table:
            raise SettingsError(f"{where}.name: is missing; each upstream has a name ({source})")
        for name, value in table.items():
            _checked(f"{where}.{name}", value, MEMBER[name].type, source)
        member = msgspec.convert(table, MemberSettings, dec_hook=_decode)
        members.append(_with_key(member, where, env))
    return tuple(members)


def _with_key(member: MemberSettings, where: str, env: Mapping[str, str]) -> MemberSettings:
    variable = member.api_key_env
    if variable is None:
        return member
    if member.api_key is not None:
        raise SettingsError(f"{where}.api_key_env: there is an api_key as well; give one of them")
    if not env.get(variable, "").strip():
        raise SettingsError(f"{where}.api_key_env: the variable {variable} is not set")
    return msgspec.structs.replace(member, api_key=Secret(env[variable]))


def _convert(values: _Values, env: Mapping[str, str]) -> Settings:
    tree: dict[str, Any] = {}
    members = values.pop(TABLES, None)
    for name, (value, source) in values.items():
        _checked(name, value, KNOWN[name].type, source)
        section, _, key = name.rpartition(".")
        (tree.setdefault(section, {}) if section else tree)[key] = value
    settings = msgspec.convert(tree, Settings, dec_hook=_decode)
    if members is None:
        return settings
    upstreams = _members(members.value, members.source, env)
    return msgspec.structs.replace(settings, upstreams=upstreams)
