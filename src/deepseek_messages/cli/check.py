"""``deepseek-messages check``: what is wrong with a set-up, and what to do about it."""

import asyncio
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path

import click
from msgspec import Struct
from msgspec.structs import replace

from deepseek_messages.cli.client import CLAUDE_CODE_WINDOW, ENGINE_MISSING, engine_is_missing
from deepseek_messages.cli.options import with_settings
from deepseek_messages.settings import Settings
from deepseek_messages.store.keys import KeyFileError
from deepseek_messages.store.models import LocalModel, ModelError, ModelStore
from deepseek_messages.translation.catalogue import Model
from deepseek_messages.translation.faults import Fault
from deepseek_messages.upstreams.base import Readiness, Upstream
from deepseek_messages.upstreams.embedded.gguf import GgufError, read_info
from deepseek_messages.web.app import keyring_of
from deepseek_messages.web.serve import ServeError, bind
from deepseek_messages.web.upstreams import make_pool, make_upstream

SHOWN = 10  # so many of a server's models are named


class Level(Enum):
    """How a finding is marked."""

    FINE = "ok     "
    REMARK = "remark "
    PROBLEM = "PROBLEM"


class Finding(Struct, frozen=True):
    """One thing looked at. ``text`` says how it is, and for a problem what to do."""

    level: Level
    text: str


@click.command()
@with_settings("host", "port", "upstream", "model")
@click.option(
    "--claude-code/--no-claude-code",
    default=True,
    help="Also ask whether the model's context is large enough for Claude Code [yes].",
)
def check(settings: Settings, claude_code: bool) -> None:
    """Say what is wrong with a set-up, and what to do about it.

    Looks at the settings, the port, the keys, the upstream, its model and the model's context.
    Exits with 1 when there is a problem.
    """
    findings = [Finding(Level.FINE, "the settings are valid")]
    findings += [check_port(settings), check_keys(settings)]
    findings += check_upstream(settings, claude_code=claude_code)
    for finding in findings:
        click.echo(f"{finding.level.value}  {finding.text}")
    if any(finding.level is Level.PROBLEM for finding in findings):
        raise SystemExit(1)


def check_port(settings: Settings) -> Finding:
    """Whether the server could listen where it should."""
    host, port = settings.server.host, settings.server.port
    try:
        bind(host, port).close()
    except ServeError as error:
        return Finding(Level.PROBLEM, str(error))
    return Finding(Level.FINE, f"port {port} on {host} is free")


def check_keys(settings: Settings) -> Finding:
    """Whether callers can get in."""
    if settings.auth_mode != "keys":
        return Finding(Level.FINE, f"callers: {settings.auth_mode}")
    try:
        known = len(keyring_of(settings))
    except KeyFileError as error:
        return Finding(Level.PROBLEM, f"{error}; mend the line or delete the file")
    if not known:
        return Finding(Level.REMARK, "callers need a key: a first one is made at start")
    return Finding(Level.FINE, f"callers need a key: {known} known")


def check_upstream(settings: Settings, *, claude_code: bool = True) -> list[Finding]:
    """Whether the upstream can be used, has the model, and with what context."""
    match settings.upstream_kind:
        case "embedded":
            return list(_embedded(settings, claude_code))
        case "chat" | "tokens":
            return asyncio.run(_chat(settings, claude_code))
        case "pool":
            return asyncio.run(_pool(settings))
        case "double":
            return [Finding(Level.REMARK, "the double answers with made-up content")]


def _context(window: int, claude_code: bool) -> Finding:
    text = f"context of {window:,} tokens"
    if not claude_code or window >= CLAUDE_CODE_WINDOW:
        return Finding(Level.FINE, text)
    return Finding(
        Level.PROBLEM,
        f"{text} is too small for Claude Code, which needs about {CLAUDE_CODE_WINDOW:,}: choose "
        "another model, or use other clients (--no-claude-code leaves this check out)",
    )


# --- embedded -------------------------------------------------------------------------------------


def _embedded(settings: Settings, claude_code: bool) -> Iterator[Finding]:
    if engine_is_missing(settings):
        yield Finding(Level.PROBLEM, ENGINE_MISSING)
    name = settings.embedded.model
    try:
        path = _model_file(settings)
    except ModelError as error:
        yield Finding(Level.PROBLEM, str(error))
        return
    if path is None:
        yield Finding(Level.REMARK, f"model {name} is not here yet: it is fetched at first use")
        return
    try:
        info = read_info(path)
    except (GgufError, OSError) as error:
        yield Finding(Level.PROBLEM, f"{error}; give another file with --model")
        return
    yield Finding(Level.FINE, f"model {name} ({path})")
    yield _context(settings.embedded.context or info.context, claude_code)


def _model_file(settings: Settings) -> Path | None:
    """The model's file, ``None`` when it would have to be fetched first. Raises ``ModelError``."""
    store = ModelStore(settings.cache_dir)
    model = store.resolve(settings.embedded.model)
    if isinstance(model, LocalModel):
        return model.fetch(lambda *_: None)
    stored = {each.reference: each.path for each in store.list()}
    return stored.get(settings.embedded.model)


# --- chat -----------------------------------------------------------------------------------------


async def _chat(settings: Settings, claude_code: bool) -> list[Finding]:
    # Without the configured model: a server's list is completed by it, and would always have it.
    bare = replace(settings, upstream=replace(settings.upstream, model=None))
    try:
        upstream = make_upstream(bare)
    except ValueError as error:
        return [Finding(Level.PROBLEM, str(error))]
    try:
        return await _ask(upstream, settings, claude_code)
    finally:
        await upstream.aclose()


async def _pool(settings: Settings) -> list[Finding]:
    """A line for each of several upstreams; a problem only when none can be used."""
    try:
        pool = make_pool(settings)
    except (ValueError, ModelError) as error:
        return [Finding(Level.PROBLEM, str(error))]
    findings = []
    try:
        for member in pool.members:
            readiness = await member.readiness()
            reason = f": {readiness.reason}" if readiness.reason else ""
            said = f"upstream {member.name} {'answers' if readiness.ready else 'does not answer'}"
            findings.append(Finding(Level.FINE if readiness.ready else Level.REMARK, said + reason))
    finally:
        await pool.aclose()
    if not any(finding.level is Level.FINE for finding in findings):
        findings.append(Finding(Level.PROBLEM, "none of [[upstreams]] can be used"))
    return findings


async def _ask(upstream: Upstream, settings: Settings, claude_code: bool) -> list[Finding]:
    url, wanted = settings.upstream.url, settings.upstream.model
    readiness = await upstream.readiness()
    try:
        served = await upstream.models()
    except Fault as fault:
        return [_without_list(fault, url, readiness, wanted)]
    reason = f" ({readiness.reason})" if readiness.reason else ""
    answers = Finding(Level.FINE, f"{url} answers, as {upstream.dialect.name}{reason}")
    return [answers, *_models(served, wanted, claude_code)]


def _without_list(fault: Fault, url: str, readiness: Readiness, wanted: str | None) -> Finding:
    match fault.upstream_status:
        case 401 | 403 if readiness.ready:
            return Finding(Level.REMARK, f"{url}: {readiness.reason}")
        case 401 | 403:
            advice = "set upstream.api_key, or DEEPSEEK_API_KEY for DeepSeek, to a valid key"
            return Finding(Level.PROBLEM, f"{url}: {readiness.reason}; {advice}")
        case 404 | 405 | 501 if wanted is not None:
            return Finding(Level.REMARK, f"{url} has no list of models; {wanted} is asked for")
        case 404 | 405 | 501:
            return Finding(Level.PROBLEM, f"{url} has no list of models: name one with --model")
        case _:
            advice = "start it, or mend upstream.base_url"
            return Finding(Level.PROBLEM, f"{url}: {fault.message}; {advice}")


def _models(served: Sequence[Model], wanted: str | None, claude_code: bool) -> list[Finding]:
    names = ", ".join(model.id for model in served[:SHOWN])
    if not served:
        return [Finding(Level.PROBLEM, "it serves no model: load one, or name it with --model")]
    model = next((each for each in served if wanted in (None, each.id)), None)
    if model is None:
        advice = "give one of these with --model"
        return [Finding(Level.PROBLEM, f"it has no model {wanted}, but {names}; {advice}")]
    return [Finding(Level.FINE, f"model {model.id}"), _context(model.context_window, claude_code)]
