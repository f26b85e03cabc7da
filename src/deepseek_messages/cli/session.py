"""A server for one program: ``claude`` and ``run`` find or start it, hand the program its
variables, pass signals and the exit code through, and say in the end what was used.
"""

import contextlib
import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, TextIO
from urllib.parse import quote, urlsplit

import click
from msgspec import Struct
from msgspec.structs import replace

from deepseek_messages.cli.client import (
    CLAUDE_CODE_WINDOW,
    Access,
    Token,
    base_url,
    token_for,
    window_of,
)
from deepseek_messages.cli.env import variables
from deepseek_messages.cli.spent import read_spent
from deepseek_messages.settings import AuthSettings, Settings
from deepseek_messages.settings.sources import KEY_ENV
from deepseek_messages.store.keys import KeyFileError
from deepseek_messages.telemetry import logs
from deepseek_messages.web import serve as server

# What would lead Claude Code or an SDK past the server, or carry another service's key to it
# (Claude Code's settings page, "Environment variables").
FOREIGN_VARIABLES = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_BEDROCK_BASE_URL",
    "ANTHROPIC_VERTEX_BASE_URL",
    "ANTHROPIC_FOUNDRY_BASE_URL",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_FOUNDRY",
    "CLAUDE_CODE_USE_VERTEX",
)

LOG_FILE = "session.log"
MAX_LOG_BYTES = 10 * 1024 * 1024  # a longer log is begun anew

PROBE_SECONDS = 5.0

# The last moments of the server: the program is gone, so nothing is worth waiting for.
DRAIN_SECONDS = 1.0


class Answered(Struct, frozen=True):
    """A server's answer to a small question."""

    status: int
    body: Any


def ask(url: str, path: str, token: str = "") -> Answered | None:
    """``GET`` a path of the server at ``url``; ``None`` when nothing that speaks HTTP answers in
    time. ``body`` is JSON, or the text.
    """
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.netloc, timeout=PROBE_SECONDS)
    try:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        connection.request("GET", parts.path + path, headers=headers)
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
    except (OSError, HTTPException, ValueError):
        return None
    finally:
        connection.close()
    try:
        return Answered(answer.status, json.loads(text))
    except ValueError:
        return Answered(answer.status, text)


def is_ours(url: str) -> bool:
    """Whether a server of this program answers at ``url``."""
    answered = ask(url, "/api/hello")
    return (
        answered is not None
        and isinstance(answered.body, dict)
        and answered.body.get("name") == "deepseek-messages"
    )


@contextlib.contextmanager
def session(settings: Settings, *, url: str | None, key: str | None, own: bool) -> Iterator[Access]:
    """A server to use within the block: the one at ``url``; else the one that runs at the
    configured address; else, or with ``own``, a new one that ends with the block. Raises
    ``click.ClickException`` in words for the user.
    """
    address = base_url(settings, url)
    if url is not None and not is_ours(address):
        raise click.ClickException(f"no deepseek-messages server answers at {address}")
    if url is not None or (not own and is_ours(address)):
        yield running(settings, address, key, guess=url is None)
        return
    with _own_server(settings) as access:
        yield access


def running(settings: Settings, address: str, key: str | None, *, guess: bool = True) -> Access:
    """How to reach the server at ``address``, which runs already. With ``guess`` it is taken to
    have these settings.
    """
    token = token_for(settings, key) if guess else Token("text", key or "none")
    secret = os.environ.get(token.value, "") if token.kind == "variable" else token.value
    model = settings.models.default
    answered = ask(address, f"/v1/models/{quote(model, safe='')}", secret)
    if answered is not None and answered.status in (401, 403):
        raise click.ClickException(
            f"the server at {address} asks for a key: set {KEY_ENV} or give --key; or start a "
            "server for this session alone with --upstream"
        )
    window = _window(answered) or (window_of(settings) if guess else None)
    return Access(url=address, token=Token("text", secret or "none"), model=model, window=window)


def _window(answered: Answered | None) -> int | None:
    body = answered.body if answered is not None else None
    window = body.get("max_input_tokens") if isinstance(body, dict) else None
    return window if isinstance(window, int) else None


@contextlib.contextmanager
def _own_server(settings: Settings) -> Iterator[Access]:
    """A server on a free loopback port with a key that nobody else has."""
    if settings.upstream_kind == "chat" and settings.upstream.api_key is None:
        host = urlsplit(settings.upstream.url).hostname or ""
        if host == "deepseek.com" or host.endswith(".deepseek.com"):
            raise click.ClickException(f"{host} needs a key: set DEEPSEEK_API_KEY")
    key = secrets.token_urlsafe(32)
    digest = hashlib.sha256(key.encode()).hexdigest()
    settings = replace(
        settings,
        server=replace(settings.server, host="127.0.0.1", port=0, drain_seconds=DRAIN_SECONDS),
        auth=AuthSettings(mode="keys", key_digests=(digest,)),
    )
    with _log(settings) as out:
        logs.configure(settings.log.level, "json", out)
        try:
            with server.serving(settings) as info:
                yield running(settings, base_url(settings, info.url), key)
        except (server.ServeError, KeyFileError) as error:
            raise click.ClickException(str(error)) from None


@contextlib.contextmanager
def _log(settings: Settings) -> Iterator[TextIO]:
    """Where the server's log goes: the terminal is the program's."""
    path = settings.state_dir / LOG_FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = not path.exists() or path.stat().st_size > MAX_LOG_BYTES
        out = path.open("w" if fresh else "a", encoding="utf-8", buffering=1)
    except OSError:
        out = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - closed below
    with out:
        yield out


# --- the program ----------------------------------------------------------------------------------


def environment(access: Access, base: Mapping[str, str]) -> dict[str, str]:
    """The variables of a program: ``base``, pointed at the server and at nothing else."""
    kept = {name: value for name, value in base.items() if name not in FOREIGN_VARIABLES}
    chosen = {
        name: value.value if isinstance(value, Token) else value
        for name, value in variables(access).items()
    }
    return kept | chosen | _unproxied(base, access.url)


def _unproxied(base: Mapping[str, str], url: str) -> dict[str, str]:
    """No proxy stands between two programs of one machine."""
    host = urlsplit(url).hostname or ""
    if not any(base.get(name) for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")):
        return {}
    excepted = [base[name] for name in ("NO_PROXY", "no_proxy") if base.get(name)]
    joined = ",".join(dict.fromkeys([*",".join(excepted).split(","), host])).strip(",")
    return {"NO_PROXY": joined, "no_proxy": joined}


def run_program(
    command: Sequence[str], settings: Settings, *, url: str | None, key: str | None, own: bool
) -> None:
    """Run ``command`` on a server, say what it used, and end as it ended: with its exit code, or
    by the same signal. Raises ``click.ClickException`` when it cannot be run.
    """
    with session(settings, url=url, key=key, own=own) as access:
        _warn(access)
        before = read_spent(access.url)
        code = _run(command, environment(access, os.environ))
        after = read_spent(access.url)
    if before is not None and after is not None and before != after:
        click.echo(f"deepseek-messages: {(after - before).text()}", err=True)
    _end_as(code)


def _warn(access: Access) -> None:
    if access.window is not None and access.window < CLAUDE_CODE_WINDOW:
        click.echo(
            f"deepseek-messages: {access.model} has a context of {access.window:,} tokens; Claude "
            f"Code with its tools needs about {CLAUDE_CODE_WINDOW:,}. It works with --bare "
            "--tools ''; set DEEPSEEK_API_KEY or give --upstream for a larger model.",
            err=True,
        )


def _run(command: Sequence[str], env: Mapping[str, str]) -> int:
    signals = _Signals()
    with signals.caught():
        try:
            process = subprocess.Popen(command, env=dict(env))  # noqa: S603 - what the user typed
        except OSError as error:
            raise click.ClickException(f"{command[0]}: {error.strerror}") from None
        signals.go_to(process)
        return process.wait()


class _Signals:
    """Signals are the program's: those from the terminal reach it by themselves, others are
    passed on. One that comes before the program has started waits for it.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """Within the block."""
        typed = _leave if sys.stdin is not None and sys.stdin.isatty() else self._pass_on
        handlers = {"SIGINT": typed, "SIGQUIT": typed}
        handlers |= {"SIGTERM": self._pass_on, "SIGHUP": self._pass_on}
        known = {
            getattr(signal, name): each for name, each in handlers.items() if hasattr(signal, name)
        }
        before = {number: signal.signal(number, handler) for number, handler in known.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def go_to(self, process: "subprocess.Popen[bytes]") -> None:
        """From now on."""
        self._process = process
        for number in self._early:
            process.send_signal(number)

    def _pass_on(self, number: int, _frame: object) -> None:
        if self._process is None:
            self._early.append(number)
        else:
            self._process.send_signal(number)


def _leave(_number: int, _frame: object) -> None:
    """The terminal sent it to the program too. (An ignored signal would be inherited.)"""


def _end_as(code: int) -> None:
    """Python gives a death by signal n as -n; a shell expects to see the death itself."""
    if code < 0:
        with contextlib.suppress(OSError):  # SIGKILL is nobody's to handle
            signal.signal(-code, signal.SIG_DFL)
        sys.stderr.flush()
        os.kill(os.getpid(), -code)
        code = 128 - code  # not every signal ends a process
    raise SystemExit(code)
