"""Body bytes to ``MessagesRequest``: one typed decode, and refusals in Anthropic's form.

The common path decodes once and looks at each message once. Only when that decode fails is the
body looked at again: to tell a JSON error from a wrong field, and to keep what clients replay
without knowing it (Claude Code stores and sends back blocks of unknown types; the documentation
asks servers to be lenient in what they read there). Large bodies are looked over before (``large``)
and decoded in pieces when one call would take too long.
"""

import json
import re
from collections.abc import Sequence

import msgspec
from msgspec import Raw, Struct

from deepseek_messages.translation.limits import (
    LARGE_BODY,
    MAX_JSON_DEPTH,
    MAX_MARKED_OBJECTS,
    MAX_MESSAGES,
    MAX_SETTINGS_VALUES,
)
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.request import large, unknown_blocks
from deepseek_messages.translation.request.repeated import refuse_repeated
from deepseek_messages.wire.messages import InputMessage, MessagesRequest
from deepseek_messages.wire.tools import Tool

ROLES = frozenset({"user", "assistant", "system", "ctx", "msg"})

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")

_request = msgspec.json.Decoder(MessagesRequest)
_whole = msgspec.json.Decoder(Raw)
_message = msgspec.json.Decoder(InputMessage)
_messages = msgspec.json.Decoder(list[InputMessage])


class _Messages(Struct):
    """Nothing of a request but its messages, unread."""

    messages: Raw = Raw(b"[]")


class _Shell(MessagesRequest, frozen=True, gc=False, kw_only=True):
    """A request with each message unread."""

    messages: list[Raw]  # type: ignore[assignment]


class _Anything(Struct, frozen=True, gc=False):
    """An object, unread."""


_objects_only = msgspec.json.Decoder(list[_Anything])
_bare = msgspec.json.Decoder(_Messages)
_shell = msgspec.json.Decoder(_Shell)


def parse_request(body: bytes, *, counting: bool = False, is_text: bool = False) -> MessagesRequest:
    """The request in ``body``. With ``counting`` (``count_tokens``) ``max_tokens`` may be absent.
    With ``is_text`` a large body is known to be UTF-8.

    Raises ``Refusal`` (400) that names the field in dotted form, or the place of a JSON error.
    """
    request = _decode(body, is_text=is_text)
    _check_top(request, counting)
    for message in request.messages:
        if message.content is None or message.role not in ROLES:
            _check_messages(request.messages)
            break
    return request


def _decode(body: bytes, *, is_text: bool) -> MessagesRequest:
    try:
        if len(body) > LARGE_BODY:
            if (size := large.looked_over(body, is_text=is_text)) is not None:
                return _decode_in_pieces(body, size)
        elif not body.isascii():
            body.decode("utf-8")  # raw JSON is passed on unread: it must be proper text too
        return _decode_at_once(body)
    except UnicodeDecodeError as error:
        raise Refusal(_unicode_message(body, error)) from None
    except msgspec.DecodeError as error:
        raise Refusal(_syntax_message(body, str(error))) from None
    except RecursionError:
        raise Refusal(_DEPTH_MESSAGE) from None


def _decode_at_once(body: bytes) -> MessagesRequest:
    try:
        request = _request.decode(body)
    except msgspec.ValidationError as error:
        request = _second_look(body, error)
    refuse_repeated(body)
    return request


def _second_look(body: bytes, error: msgspec.ValidationError) -> MessagesRequest:
    """A field was wrong: perhaps only a block of an unknown type in a replayed answer."""
    try:
        _whole.decode(body)
        if unknown_blocks.may_be_unknown_block(str(error)) and _may_be_marked(body):
            return _request.decode(unknown_blocks.mark_unknown_blocks(body))
    except msgspec.ValidationError as second:
        raise _field_refusal(str(second)) from None
    except msgspec.DecodeError as malformed:
        raise Refusal(_syntax_message(body, str(malformed))) from None
    except RecursionError:
        raise Refusal(_DEPTH_MESSAGE) from None
    raise _field_refusal(str(error)) from None


def _may_be_marked(body: bytes) -> bool:
    """Whether it takes not too long, or there is a thread for it."""
    return len(body) > LARGE_BODY or body.count(b'{"') <= MAX_MARKED_OBJECTS


# --- in pieces ------------------------------------------------------------------------------------


def _decode_in_pieces(body: bytes, size: large.Size) -> MessagesRequest:
    """As one call decodes it, but for which of several faults is told. Raises ``Refusal``, and
    ``msgspec.DecodeError`` for what is no JSON.
    """
    try:
        if size.values > MAX_SETTINGS_VALUES:
            _check_many(_bare.decode(body).messages, size)
        shell = _shell.decode(body)
    except msgspec.ValidationError as error:
        _whole.decode(body)
        raise _field_refusal(str(error)) from None
    _check_number(shell.messages)
    messages: list[InputMessage] = []
    for first, batch in large.batches(shell.messages):
        messages += _decode_batch(first, batch)
    _refuse_repeated_in_pieces(body, shell.messages)
    fields = {name: getattr(shell, name) for name in shell.__struct_fields__}
    return MessagesRequest(**{**fields, "messages": messages})


def _check_many(messages: Raw, size: large.Size) -> None:
    """Refuse what takes long to take apart already."""
    large.check_settings(size, messages)
    try:
        _check_number(_objects_only.decode(messages))
    except msgspec.ValidationError as error:
        raise _field_refusal(str(error), "messages") from None


def _decode_batch(first: int, batch: Sequence[Raw]) -> list[InputMessage]:
    """``batch`` begins with message number ``first``."""
    try:
        if len(batch) == 1:  # perhaps megabytes: not copied
            return [_message.decode(batch[0])]
        return _messages.decode(msgspec.json.encode(batch))
    except msgspec.ValidationError as error:
        wrong = error
    if unknown_blocks.may_be_unknown_block(str(wrong)):
        try:
            return _messages.decode(unknown_blocks.marked_messages(msgspec.json.encode(batch)))
        except msgspec.ValidationError as error:
            raise _batch_refusal(str(error), first) from None
    if len(batch) == 1:
        raise _field_refusal(str(wrong), f"messages.{first}")
    raise _batch_refusal(str(wrong), first)


def _refuse_repeated_in_pieces(body: bytes, messages: Sequence[Raw]) -> None:
    for index, message in enumerate(messages):
        refuse_repeated(bytes(message), f"messages.{index}")
    refuse_repeated(body.replace(bytes(_bare.decode(body).messages), b"[]", 1))


def _batch_refusal(error: str, first: int) -> Refusal:
    moved = re.sub(r"`\$\[(\d+)\]", lambda at: f"`$[{first + int(at[1])}]", error)
    return _field_refusal(moved, "messages")


# --- the checks that types cannot make ------------------------------------------------------------


def _check_top(request: MessagesRequest, counting: bool) -> None:
    if not request.model:
        raise Refusal("String should have at least 1 character", path="model")
    if not request.messages:
        raise Refusal("at least one message is required", path="messages")
    _check_number(request.messages)
    if request.thread is not None:
        raise Refusal(
            "message threads are not kept by this server; send the whole conversation",
            path="thread",
            error_code="thread_unsupported_request",
        )
    if request.max_tokens is None and not counting:
        raise Refusal("Field required", path="max_tokens")
    if request.max_tokens is not None and request.max_tokens < 0:
        raise Refusal("Input should be greater than or equal to 0", path="max_tokens")
    _check_ranges(request)
    if request.tools:
        _check_tools(request.tools)
    choice = request.tool_choice
    if choice is not None and choice.type == "tool" and not choice.name:
        raise Refusal("Field required", path="tool_choice.name")
    if request.output_config is not None or request.output_format is not None:
        _check_format(request)


def _check_number(messages: Sequence[object]) -> None:
    if len(messages) > MAX_MESSAGES:
        raise Refusal(f"at most {MAX_MESSAGES} messages are accepted", path="messages")


def _check_ranges(request: MessagesRequest) -> None:
    """DeepSeek's ranges (API reference, create-chat-completion): what it refuses is refused here,
    by name, instead of being answered with other sampling than asked for.
    """
    if request.temperature is not None and not 0 <= request.temperature <= 2:
        raise Refusal("Input should be between 0 and 2", path="temperature")
    if request.top_p is not None and not 0 <= request.top_p <= 1:
        raise Refusal("Input should be between 0 and 1", path="top_p")


def _check_tools(tools: list[Tool]) -> None:
    for index, tool in enumerate(tools):
        if not tool.name and tool.type in {None, "custom"}:
            raise Refusal("Field required", path=f"tools.{index}.name")


def _check_messages(messages: list[InputMessage]) -> None:
    """The refusal for the first message that deserves one. System messages may carry settings
    only; a replayed empty answer is no reason to fail.
    """
    for index, message in enumerate(messages):
        if message.role not in ROLES:
            raise Refusal(
                f"Input should be 'user', 'assistant' or 'system', not {_shown(message.role)}",
                path=f"messages.{index}.role",
            )
        if message.content is None and message.role != "system":
            raise Refusal("Field required", path=f"messages.{index}.content")


def _check_format(request: MessagesRequest) -> None:
    config = request.output_config
    if config is not None and config.format is not None:
        _check_schema(config.format.schema, "output_config.format.schema")
    if request.output_format is not None:
        _check_schema(request.output_format.schema, "output_format.schema")


def _check_schema(schema: Raw, path: str) -> None:
    if not bytes(schema).lstrip().startswith(b"{"):
        raise Refusal("Input should be an object", path=path)


# --- the words of refusals ------------------------------------------------------------------------

_DEPTH_MESSAGE = f"The request body is nested too deeply (more than {MAX_JSON_DEPTH} levels)"
_INDEX = re.compile(r"\[(\d+|\.\.\.)\]")
_NAMES = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "array": "list",
    "object": "object",
}


def _field_refusal(error: str, within: str = "") -> Refusal:
    """The refusal for ``Expected `str`, got `int` - at `$.messages[0].role``` and its like.
    ``within`` is the field whose value was decoded, if not the whole body.
    """
    reason, _, place = error.partition(" - at `$")
    path = within + _INDEX.sub(r".\1", place.rstrip("`"))
    path = path.lstrip(".")
    if missing := re.search(r"missing required field `(.+)`", reason):
        return Refusal("Field required", path=f"{path}.{missing[1]}".lstrip("."))
    if wrong := re.match(r"Expected `(.+?)`(?:, got `(.+)`)?", reason):
        names = [_NAMES.get(name, name) for name in wrong[1].split(" | ") if name != "null"]
        return Refusal(f"Input should be a valid {' or '.join(names)}", path=path)
    if tag := re.match(r"Invalid value '(.*)'", reason, re.DOTALL):
        return Refusal(
            f"Input tag {_shown(tag[1])} found using 'type' does not match any expected tag",
            path=path.removesuffix(".type"),
        )
    if value := re.match(r"Invalid enum value (.*)", reason, re.DOTALL):
        return Refusal(
            f"Input should be one of the documented values, not {value[1][:80]}", path=path
        )
    return Refusal(reason, path=path)


def _syntax_message(body: bytes, error: str) -> str:
    """What is wrong with the JSON, and where, for a person with an editor."""
    if body.startswith(b"\xef\xbb\xbf"):
        return "The request body is not valid JSON: it begins with a byte order mark"
    if not body.strip():
        return "The request body is empty; a JSON object is expected"
    reason = error.removeprefix("JSON is malformed: ")
    offset = len(body)
    if at := re.search(r" \(byte (\d+)\)", reason):
        reason, offset = reason[: at.start()], int(at[1])
        if reason == "trailing characters":
            offset -= 1  # told from behind the first of them
    elif len(body) > LARGE_BODY:  # to find out which would take too long
        reason = "it ends too early, or holds an unpaired UTF-16 surrogate,"
    elif _is_python_json(body):
        return "The request body is not valid JSON: it holds an unpaired UTF-16 surrogate"
    else:
        reason = "it ends too early"
    line = body.count(b"\n", 0, offset) + 1
    column = offset - body.rfind(b"\n", 0, offset)
    return f"The request body is not valid JSON: {reason} at line {line} column {column}"


def _is_python_json(body: bytes) -> bool:
    """The standard library takes unpaired surrogates; if it takes this, that was the fault."""
    if not _SURROGATE.search(body):
        return False
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def _unicode_message(body: bytes, error: UnicodeDecodeError) -> str:
    offset = error.start if error.object == body else body.find(error.object[error.start :][:4])
    return f"The request body is not valid UTF-8 (byte {max(offset, 0)})"


def _shown(value: str) -> str:
    return repr(value if len(value) <= 40 else value[:40] + "…")
