"""What is written and measured: ``[log]``, ``[telemetry]``."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from deepseek_messages.settings.secret import Secret

LogLevel = Literal["debug", "info", "warning", "error"]


class LogSettings(Struct, frozen=True, kw_only=True):
    """What is logged, to standard error."""

    level: Annotated[LogLevel, Meta(description="Least severe entries that are written.")] = "info"
    format: Annotated[
        Literal["auto", "console", "json"],
        Meta(description="auto: console on a terminal, otherwise json (one object a line)."),
    ] = "auto"


class TelemetrySettings(Struct, frozen=True, kw_only=True):
    """What is measured."""

    metrics_key: Annotated[
        Secret | None,
        Meta(description="Key with which /metrics may be read from other machines."),
    ] = None
