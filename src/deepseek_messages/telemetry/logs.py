"""Structured logs on standard error: one line per event, for a person or as JSON.

Everything passes the redaction, also what libraries log through ``logging``. structlog is loaded by
the first line that needs it: with what it imports it takes a fifth of the server's start.
"""

import atexit
import logging
import sys
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Literal, TextIO, cast

import msgspec

from deepseek_messages.telemetry.lines import Lines
from deepseek_messages.telemetry.record import Outcome, RequestRecord
from deepseek_messages.telemetry.redaction import describe_exception, redact, redact_text

if TYPE_CHECKING:
    import structlog
    from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

LogFormat = Literal["console", "json"]

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

# Libraries whose own lines say nothing that ours do not.
QUIET = ("uvicorn.access", "uvicorn.error", "asyncio", "aiohttp.access")

# Asked every few seconds by whatever watches the server.
PROBES = frozenset({"/healthz", "/readyz", "/metrics"})

_encode = msgspec.json.Encoder(enc_hook=str).encode


def configure(level: str = "info", style: LogFormat = "console", out: TextIO | None = None) -> None:
    """Send this process's logs to ``out`` (standard error by default). ``level`` is one of
    ``LEVELS``; raises ``KeyError`` for another.
    """
    number = LEVELS[level]
    target = Lines(out if out is not None else sys.stderr)
    global _json_info, _lines, _pending  # noqa: PLW0603 - as structlog keeps its own configuration
    _lines = target
    _pending = (number, style, target)
    if "structlog" in sys.modules:
        log()  # sets it up
    _json_info = style == "json" and number <= logging.INFO
    root = logging.getLogger()
    root.handlers[:] = [_Forward()]
    root.setLevel(max(number, logging.WARNING))
    for name in QUIET:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


_lines: Lines | None = None

# Whether requests that went well are told as JSON.
_json_info = False


def flush() -> None:
    """Write what waits to be written. To be called before the process ends."""
    if _lines is not None:
        _lines.flush()


atexit.register(flush)


# What ``_set_up`` is called with once structlog is loaded.
_pending: tuple[int, LogFormat, Lines] | None = None


def _set_up(number: int, style: LogFormat, target: Lines) -> None:
    import structlog  # noqa: PLC0415 - see above

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _redacted,
            _as_json if style == "json" else _console(colors=target.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", target)),
        cache_logger_on_first_use=False,
    )


def log() -> "FilteringBoundLogger":
    """The logger of this program."""
    global _pending  # noqa: PLW0603 - as above
    wanted = _pending
    try:
        import structlog  # noqa: PLC0415 - see above

        if wanted is not None:
            _set_up(*wanted)  # by two threads, if need be: neither may go on before
            _pending = None
    except (OSError, ImportError):
        if wanted is None:
            raise
        return cast("FilteringBoundLogger", _Makeshift(*wanted))
    return cast("FilteringBoundLogger", structlog.get_logger())


class _Makeshift:
    """Tells in JSON what has to be told while structlog cannot be loaded: no file can be opened,
    because clients hold all that the process may have.
    """

    def __init__(self, number: int, _style: LogFormat, target: Lines) -> None:
        self._number = number
        self._target = target
        self.debug, self.info, self.warning, self.error = (
            partial(self.log, level) for level in LEVELS.values()
        )

    def log(self, level: int, event: str, **fields: object) -> None:
        if level >= self._number:
            known = {"event": event, "level": logging.getLevelName(level).lower()}
            line = redact(fields) | known | {"timestamp": _now()}
            self._target.write(_encode(line).decode() + "\n")


def log_request(record: RequestRecord) -> None:
    """The one line that tells how a request went."""
    if record.outcome in _FAILED:
        log().warning("request", **_fields(record))
    elif record.path in PROBES and record.outcome is Outcome.SERVED:
        log().debug("request", **_fields(record))
    elif _json_info and _lines is not None:
        _lines.later(_line(record))
    else:
        log().info("request", **_fields(record))


_FAILED = (Outcome.FAULT, Outcome.BUG)


def _fields(record: RequestRecord) -> dict[str, object]:
    fields: dict[str, object] = {
        "request_id": record.request_id,
        "method": record.method,
        "path": _cleaned(record.path),
        "status": record.status,
        "outcome": record.outcome.value if record.outcome else "",
        "ms": round(record.seconds * 1000, 1),
    }
    if record.first_event is not None:
        fields["first_event_ms"] = round((record.first_event - record.started) * 1000, 1)
    for name, value in (
        ("client", record.client),
        ("retry", record.retry),
        ("caller", record.caller),
        ("requested_model", record.requested_model),
        ("model", record.model),
        ("upstream", record.upstream),
        ("error_type", record.error_type),
    ):
        if value:
            fields[name] = _cleaned(value)
    if record.tried:
        fields["tried"] = record.tried
    if record.stream:
        fields["stream"] = True
    if record.fault:
        fields |= {"fault": record.fault, "upstream_status": record.upstream_status}
    if (tokens := record.tokens) is not None:
        fields["tokens"] = {
            "in": tokens.input,
            "cache_read": tokens.cache_read,
            "cache_creation": tokens.cache_creation,
            "out": tokens.output,
        }
    if record.notes:
        fields["notes"] = [redact_text(note) for note in record.notes[:32]]
    return fields


# The same few clients and models ask again and again.
_cleaned = lru_cache(maxsize=256)(redact_text)


def _line(record: RequestRecord) -> str:
    """The line that the processors would make of a request: one is written for each, so they are
    not asked.
    """
    line = _fields(record)
    line["event"], line["level"] = "request", "info"
    line["timestamp"] = _now()
    return _encode(line).decode() + "\n"


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def log_bug(error: BaseException, request_id: str = "") -> None:
    """An exception that should not have happened: type and places, never its text."""
    log().error("bug", request_id=request_id, **describe_exception(error))


def _redacted(_logger: "WrappedLogger", _name: str, event: "EventDict") -> "EventDict":
    return redact(event)


def _as_json(_logger: "WrappedLogger", _name: str, event: "EventDict") -> str:
    return _encode(event).decode()


def _console(*, colors: bool) -> "structlog.dev.ConsoleRenderer":
    import structlog  # noqa: PLC0415 - see above

    return structlog.dev.ConsoleRenderer(
        colors=colors, sort_keys=False, exception_formatter=structlog.dev.plain_traceback
    )


class _Forward(logging.Handler):
    """Passes the lines of libraries on, through the same redaction."""

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, object] = {"logger": record.name}
        if record.exc_info and record.exc_info[1] is not None:
            fields |= describe_exception(record.exc_info[1])
            message = str(record.msg).partition("\n")[0]
        else:
            message = record.getMessage()
        log().log(record.levelno, message, **fields)
