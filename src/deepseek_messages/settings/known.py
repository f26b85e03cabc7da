"""A table of every setting, made from the types: for the environment, the checks, the docs."""

import typing
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from msgspec import NODEFAULT, UNSET, Meta, Struct, structs

from deepseek_messages.settings.tree import Settings
from deepseek_messages.settings.upstreams import MemberSettings

ENV_PREFIX = "DEEPSEEK_MESSAGES_"

# The one setting that is a list of tables; only the file can hold it.
TABLES = "upstreams"


class Setting(Struct, frozen=True, kw_only=True):
    """One setting. ``name`` is dotted as in the TOML file (``server.port``)."""

    name: str
    type: Any
    default: Any  # None where there is none, or it depends on the machine
    description: str

    @property
    def env(self) -> str:
        """The environment variable that sets it."""
        return ENV_PREFIX + self.name.replace(".", "_").upper()

    @property
    def type_text(self) -> str:
        """The type as the reference page shows it."""
        return _type_text(self.type)


def _type_text(annotation: Any) -> str:
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _type_text(args[0])
    if origin is tuple:
        return f"list of {_type_text(args[0])}"
    if origin is dict:
        return "table of strings"
    if origin is Literal:
        return ", ".join(f'"{value}"' for value in args)
    if args:  # a union
        parts = [_type_text(arg) for arg in args if arg is not type(None)]
        return ", ".join(parts)
    names = {"str": "string", "int": "integer", "float": "number", "Path": "path"}
    name: str = annotation.__name__
    return names.get(name, name.lower())


def _description(annotation: Any) -> str:
    for meta in getattr(annotation, "__metadata__", ()):
        if isinstance(meta, Meta) and meta.description:
            return meta.description
    return ""


def _walk(cls: type[Struct], prefix: str) -> Iterator[Setting]:
    hints = typing.get_type_hints(cls, include_extras=True)
    for info in structs.fields(cls):
        annotation = hints[info.name]
        if info.name == TABLES:
            continue
        if isinstance(annotation, type) and issubclass(annotation, Struct):
            yield from _walk(annotation, f"{prefix}{info.name}.")
            continue
        default = info.default
        if default in (NODEFAULT, UNSET):
            default = None
        yield Setting(
            name=prefix + info.name,
            type=annotation,
            default=default,
            description=_description(annotation),
        )


KNOWN: dict[str, Setting] = {setting.name: setting for setting in _walk(Settings, "")}
MEMBER: dict[str, Setting] = {
    setting.name: setting
    for setting in sorted(_walk(MemberSettings, ""), key=lambda setting: setting.name != "name")
}
SECTIONS = frozenset(name.partition(".")[0] for name in KNOWN if "." in name)
