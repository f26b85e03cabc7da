"""The OpenAPI document (version 3.1), made from the same types that requests are read into and
answers are written from; what only the checks behind the types know is added here.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import msgspec.inspect as kinds

from deepseek_messages import __version__
from deepseek_messages.translation.limits import MAX_MESSAGES
from deepseek_messages.translation.request.parse import ROLES
from deepseek_messages.web.exchange import Exchange
from deepseek_messages.web.guard import Access
from deepseek_messages.web.routes import Endpoint
from deepseek_messages.wire.errors import STATUS_TO_TYPE, ErrorEnvelope
from deepseek_messages.wire.events import StreamEvent
from deepseek_messages.wire.messages import Message, MessagesRequest, TokenCount
from deepseek_messages.wire.models import ModelInfo, ModelPage

Schema = dict[str, Any]

# Our own form of a block of a type that we do not know; nothing that clients send.
INTERNAL = frozenset({"UnknownBlock"})

# What translation.request.parse checks besides types.
CHECKED: dict[str, dict[str, Schema]] = {
    "MessagesRequest": {
        "model": {"minLength": 1},
        "messages": {"minItems": 1, "maxItems": MAX_MESSAGES},
        "max_tokens": {"type": "integer", "minimum": 0},
        "temperature": {"minimum": 0, "maximum": 2},
        "top_p": {"minimum": 0, "maximum": 1},
        "thread": {"type": "null"},
    },
    "InputMessage": {"role": {"enum": sorted(ROLES)}},
    "JsonSchemaFormat": {"schema": {"type": "object"}},
}

# The same, where fields depend on each other: a value fits one of the alternatives.
DEPENDENT: dict[str, list[Schema]] = {
    "InputMessage": [
        {"properties": {"role": {"const": "system"}}},
        {"required": ["content"], "properties": {"content": {"type": ["string", "array"]}}},
    ],
    "Tool": [
        {"required": ["name"], "properties": {"name": {"type": "string", "minLength": 1}}},
        {
            "required": ["type"],
            "properties": {"type": {"type": "string", "not": {"const": "custom"}}},
        },
    ],
    "ToolChoice": [
        {"properties": {"type": {"enum": ["auto", "any", "none"]}}},
        {"required": ["name"], "properties": {"name": {"type": "string", "minLength": 1}}},
    ],
}


def document(endpoints: Iterable[Endpoint]) -> Schema:
    """The document for these routes. Raises ``KeyError`` for one that is not described here."""
    types = _Types()
    paths: dict[str, Schema] = {}
    for endpoint in endpoints:
        path = endpoint.path.replace(":path", "")
        item = paths.setdefault(path, {})
        for method in endpoint.methods:
            item[method.lower()] = _operation(method, path, endpoint.access, types)
    return {
        "openapi": "3.1.0",
        "info": {"title": "deepseek-messages", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": types.schemas(),
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


class OpenApiHandler:
    """``GET /openapi.json``. The document is made once."""

    def __init__(self) -> None:
        self._body = b""

    def describe(self, endpoints: Sequence[Endpoint]) -> None:
        """The routes to tell about."""
        self._body = msgspec.json.encode(document(endpoints))

    async def __call__(self, exchange: Exchange) -> None:
        """Answer with the document."""
        await exchange.reply(200, self._body)


# --- operations -----------------------------------------------------------------------------------


def _operation(method: str, path: str, access: Access, types: "_Types") -> Schema:
    summary, statuses, answers = _OPERATIONS[method, path](types)
    operation: Schema = {
        "operationId": f"{method.lower()}{path.replace('/', '_').rstrip('_')}".replace(".", "_"),
        **summary,
        "responses": {str(status): content for status, content in answers.items()},
    }
    refused = {"application/json": {"schema": types.of(ErrorEnvelope)}}
    for status in sorted({400, 403, 405, 431, 500, *statuses}):
        operation["responses"][str(status)] = {
            "description": STATUS_TO_TYPE[status],
            "content": refused,
        }
    if access is not Access.PUBLIC:
        operation["security"] = [{"key": []}, {"bearer": []}, {}]
        operation["responses"]["401"] = {
            "description": STATUS_TO_TYPE[401],
            "content": refused,
        }
    return operation


def _answers(description: str, **content: Schema) -> Schema:
    return {
        "description": description,
        "content": {name.replace("_", "/", 1): {"schema": of} for name, of in content.items()},
    }


def _messages(types: "_Types") -> tuple[Schema, Iterable[int], dict[int, Schema]]:
    answer = _answers("The answer, whole or as events.", application_json=types.of(Message))
    answer["content"]["text/event-stream"] = {"schema": _event(types)}
    schema = {"allOf": [types.of(MessagesRequest), {"required": ["max_tokens"]}]}
    return (_body("Answer a conversation.", schema), STATUS_TO_TYPE, {200: answer})


def _event(types: "_Types") -> Schema:
    """One server-sent event. Version 3.1 has no keyword of its own for the items of a stream; a
    media type's schema is taken for that of each (3.2: ``itemSchema``).
    """
    data = {"type": "string", "contentMediaType": "application/json"}
    fields = {"event": {"type": "string"}, "data": {**data, "contentSchema": types.of(StreamEvent)}}
    return {"type": "object", "required": ["event", "data"], "properties": fields}


def _count(types: "_Types") -> tuple[Schema, Iterable[int], dict[int, Schema]]:
    answer = _answers("The size of the prompt.", application_json=types.of(TokenCount))
    summary = _body("Count the tokens of a prompt.", types.of(MessagesRequest))
    return summary, STATUS_TO_TYPE, {200: answer}


def _models(types: "_Types") -> tuple[Schema, Iterable[int], dict[int, Schema]]:
    answer = _answers("A page of models.", application_json=types.of(ModelPage))
    page = [
        _query("limit", {"type": "integer", "minimum": 1, "maximum": 1000}),
        _query("after_id", {"type": "string"}),
        _query("before_id", {"type": "string"}),
    ]
    return {"summary": "List models.", "parameters": page}, STATUS_TO_TYPE, {200: answer}


def _model(types: "_Types") -> tuple[Schema, Iterable[int], dict[int, Schema]]:
    answer = _answers("One model.", application_json=types.of(ModelInfo))
    name = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    return {"summary": "One model.", "parameters": [name]}, STATUS_TO_TYPE, {200: answer}


def _plain(summary: str, **content: Schema) -> Any:
    answers = {200: _answers(summary, **(content or {"application_json": {"type": "object"}}))}
    return lambda _types: ({"summary": summary}, (), answers)


def _ready(_types: "_Types") -> tuple[Schema, Iterable[int], dict[int, Schema]]:
    told = {"type": "object", "required": ["ready"], "properties": {"ready": {"type": "boolean"}}}
    answers = {200: _answers("It can.", application_json=told)}
    answers[503] = _answers("It cannot.", application_json=told)
    return {"summary": "Whether the upstream can be used."}, (), answers


_OPERATIONS: dict[tuple[str, str], Any] = {
    ("POST", "/v1/messages"): _messages,
    ("POST", "/v1/messages/count_tokens"): _count,
    ("GET", "/v1/models"): _models,
    ("GET", "/v1/models/{id}"): _model,
    ("GET", "/"): _plain("What this is."),
    ("GET", "/api/hello"): _plain("What this is."),
    ("GET", "/healthz"): _plain("Whether the process answers."),
    ("GET", "/readyz"): _ready,
    ("GET", "/metrics"): _plain("Metrics for Prometheus.", text_plain={"type": "string"}),
    ("GET", "/openapi.json"): _plain("This document."),
}


def _body(summary: str, schema: Schema) -> Schema:
    content = {"application/json": {"schema": schema}}
    return {"summary": summary, "requestBody": {"required": True, "content": content}}


def _query(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "query", "schema": schema}


# --- types ----------------------------------------------------------------------------------------


class _Types:
    """Schemas of types; structs become components, by name."""

    def __init__(self) -> None:
        self._schemas: dict[str, Schema] = {}

    def schemas(self) -> dict[str, Schema]:
        """The components that were asked for, and theirs."""
        return dict(sorted(self._schemas.items()))

    def of(self, type_: Any) -> Schema:
        """The schema of a Python type."""
        return self._schema(kinds.type_info(type_))

    def _schema(self, kind: kinds.Type) -> Schema:
        match kind:
            case kinds.StructType():
                return self._component(kind)
            case kinds.UnionType(types=types):
                shown = [self._schema(each) for each in types if not _is_internal(each)]
                return {"anyOf": shown}
            case kinds.ListType(item_type=item) | kinds.VarTupleType(item_type=item):
                return {"type": "array", "items": self._schema(item)}
            case kinds.DictType(value_type=value):
                return {"type": "object", "additionalProperties": self._schema(value)}
            case kinds.LiteralType(values=values):
                return {"enum": list(values)}
            case _:
                return _PLAIN[type(kind)]

    def _component(self, kind: kinds.StructType) -> Schema:
        name = kind.cls.__name__
        if name not in self._schemas:
            self._schemas[name] = {}  # before its fields, which may lead back here
            self._schemas[name] = self._struct(kind, CHECKED.get(name, {}))
        return {"$ref": f"#/components/schemas/{name}"}

    def _struct(self, kind: kinds.StructType, checked: dict[str, Schema]) -> Schema:
        properties: dict[str, Schema] = {}
        required = [field.encode_name for field in kind.fields if field.required]
        if kind.tag_field is not None:
            properties[kind.tag_field] = {"const": kind.tag}
            required.insert(0, kind.tag_field)
        for field in kind.fields:
            name = field.encode_name
            properties[name] = self._schema(field.type) | checked.get(name, {})
        schema: Schema = {"type": "object", "properties": properties}
        if alternatives := DEPENDENT.get(kind.cls.__name__):
            schema["anyOf"] = alternatives
        return schema | ({"required": required} if required else {})


_PLAIN: dict[type[kinds.Type], Schema] = {
    kinds.StrType: {"type": "string"},
    kinds.IntType: {"type": "integer"},
    kinds.FloatType: {"type": "number"},
    kinds.BoolType: {"type": "boolean"},
    kinds.NoneType: {"type": "null"},
    kinds.RawType: {},  # any JSON
    kinds.CustomType: {},  # object
}


def _is_internal(kind: kinds.Type) -> bool:
    return isinstance(kind, kinds.StructType) and kind.cls.__name__ in INTERNAL
