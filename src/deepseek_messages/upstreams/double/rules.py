"""What DeepSeek's hosted service lets through, and what it says to the rest.

``deepseek-recipe`` is DeepSeek's own conversion of chat requests: what it refuses is refused here
in its words. Added to it are the rules that only the hosted service has. Source: DeepSeek's API
reference ("create-chat-completion", "Thinking Mode", "Tool Calls", "Chat Prefix Completion") and
its published answers.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import deepseek_recipe as recipe
from msgspec import Struct

from deepseek_messages.prompt.estimate import MOST_IMAGE_TOKENS
from deepseek_messages.prompt.tokenizer import TOKENIZER
from deepseek_messages.upstreams.double import errors
from deepseek_messages.upstreams.double.models import CURRENT, Hosted
from deepseek_messages.upstreams.double.places import with_path
from deepseek_messages.upstreams.double.typing_errors import locate

MAX_USER_ID = 512
USER_ID = re.compile(r"[a-zA-Z0-9_-]+")

_SYNTAX = "invalid JSON request: "
_SHAPE = "invalid request body: "


class Accepted(Struct, frozen=True, kw_only=True):
    """A request that DeepSeek would serve. ``prompt_ids`` has one placeholder per image;
    ``prompt_tokens`` counts images in full. ``max_tokens`` is what may be generated.
    """

    body: Mapping[str, Any]
    model: Hosted
    request: recipe.ConversationRequest
    prompt: str
    prompt_ids: list[int]
    prompt_tokens: int
    max_tokens: int

    @property
    def thinking(self) -> bool:
        """Whether the answer begins with reasoning."""
        return self.request.conversation.thinking_mode

    @property
    def stream(self) -> bool:
        """Whether the answer is streamed."""
        return self.request.stream


def check_key(authorization: str | None) -> str:
    """The key of an ``Authorization`` header. A key with ``invalid`` in it is refused, one with
    ``empty-balance`` has no money; any other is fine. Raises ``Refused``.
    """
    scheme, _, key = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise errors.no_credentials()
    if "invalid" in key:
        raise errors.bad_key(key.strip())
    if "empty-balance" in key:
        raise errors.no_balance()
    return key.strip()


def check_request(raw: bytes, names: Mapping[str, Hosted] = CURRENT, *, beta: bool) -> Accepted:
    """Read and judge a chat completion request. CPU-bound: the prompt is encoded. Raises
    ``Refused``.
    """
    parsed = _parse(raw)
    body = _load(raw)
    model = names.get(parsed.model)
    if model is None:
        raise errors.invalid(_unknown_model(parsed.model, names))
    _check_fields(body, beta=beta)
    if not model.sees and any(_shows_image(message.get("content")) for message in body["messages"]):
        raise errors.invalid("This model does not support image")
    request = _convert(parsed, body["model"], model)
    _check_reasoning(body, thinking=request.conversation.thinking_mode)
    return _measure(body, model, request)


def _parse(raw: bytes) -> recipe.ChatCompletionRequest:
    try:
        return recipe.ChatCompletionRequest(raw)
    except ValueError as error:
        text, message = raw.decode("utf-8", "replace"), str(error)
        if message.startswith(_SHAPE):
            raise errors.mistyped(locate(text, message.removeprefix(_SHAPE))) from error
        raise errors.unreadable(with_path(text, message.removeprefix(_SYNTAX))) from error


def _load(raw: bytes) -> dict[str, Any]:
    """The request as plain values. Rust reads a list as a struct's fields in order; nobody means
    that, and it is refused here.
    """
    body = json.loads(raw, parse_int=_integer)
    if not isinstance(body, dict):
        raise errors.mistyped("invalid type: sequence, expected a map at line 1 column 0")
    objects = [*body["messages"], body.get("response_format") or {}]
    if not all(isinstance(each, dict) for each in objects):
        raise errors.mistyped("messages: invalid type: sequence, expected a map")
    return body


def _integer(digits: str) -> float:
    """A whole number; one that is longer than Python reads becomes infinite."""
    try:
        return int(digits)
    except ValueError:
        return float(digits)


def _convert(
    parsed: recipe.ChatCompletionRequest, name: str, model: Hosted
) -> recipe.ConversationRequest:
    options = recipe.ConversionOptions(
        default_thinking_mode=model.thinks_by_default,
        reasoning_content_behavior=recipe.ReasoningContentBehavior.Reject,
        thinking_max_tokens_upper_bound=model.max_output,
        non_thinking_max_tokens_upper_bound=model.max_output,
    ).with_model_alias(name, model.version)
    try:
        return parsed.convert(options)
    except recipe.ConversionError as error:
        raise errors.Refused(error.status_code, error.body.encode()) from error


def _unknown_model(name: str, names: Mapping[str, Hosted]) -> str:
    listed = [each for each, model in names.items() if each == model.id]
    return (
        f"The supported API model names are {' or '.join(reversed(listed))}, but you passed {name}."
    )


def _check_fields(body: Mapping[str, Any], *, beta: bool) -> None:
    if body.get("tools") == []:
        raise errors.invalid(
            "Invalid 'tools': empty array. Expected an array with minimum length 1, "
            "but got an empty array instead."
        )
    _check_user_id(body.get("user_id"))
    response_format = body.get("response_format") or {}
    if response_format.get("type") not in (None, "text", "json_object"):
        raise errors.invalid("This response_format type is unavailable now", errors.JSON_TYPE)
    if not beta and any(message.get("prefix") for message in body["messages"]):
        raise errors.invalid(
            "prefix is only available when using beta api "
            '(set base_url="https://api.deepseek.com/beta")',
            errors.JSON_TYPE,
        )


def _shows_image(content: object) -> bool:
    parts = content if isinstance(content, list) else []
    return any(part["type"] != "text" for part in parts)


def _check_user_id(user_id: object) -> None:
    if user_id is None:
        return
    if not isinstance(user_id, str):
        raise errors.mistyped("user_id: invalid type, expected a string")
    if len(user_id) > MAX_USER_ID:
        raise errors.invalid(
            f"Invalid 'user_id': string too long. Expected a string with maximum length "
            f"{MAX_USER_ID}, but got a string with length {len(user_id)} instead"
        )
    if not USER_ID.fullmatch(user_id):
        raise errors.invalid(
            "Invalid 'user_id': string does not match pattern. Expected a string that matches "
            f"the pattern '^{USER_ID.pattern}$'."
        )


def _check_reasoning(body: Mapping[str, Any], *, thinking: bool) -> None:
    """The "Thinking Mode" guide, since September 2026: a request with tools must bring back the
    reasoning of all earlier assistant turns, with and without calls. Empty counts as brought.
    """
    if not thinking or not body.get("tools"):
        return
    for message in body["messages"]:
        if message["role"] == "assistant" and message.get("reasoning_content") is None:
            raise errors.invalid(
                "The `reasoning_content` in the thinking mode must be passed back to the API."
            )


# --- the prompt -----------------------------------------------------------------------------------


def _measure(
    body: Mapping[str, Any], model: Hosted, request: recipe.ConversationRequest
) -> Accepted:
    encoding = _encoding(model)
    images = _image_tokens(request.conversation)
    try:
        rendered = encoding.render_conversation(request.conversation)
        ids = encoding.encode(request.conversation)
    except (RuntimeError, ValueError) as error:
        raise errors.invalid(str(error)) from error
    tokens = len(ids) + images
    try:
        max_tokens = request.resolve_max_tokens(tokens, model.window)
    except recipe.ConversionError as error:
        raise errors.Refused(error.status_code, error.body.encode()) from error
    return Accepted(
        body=body,
        model=model,
        request=request,
        prompt=rendered.prompt,
        prompt_ids=ids,
        prompt_tokens=tokens,
        max_tokens=max_tokens,
    )


def _encoding(model: Hosted) -> recipe.DeepseekV4Encoding | recipe.DeepseekV41Encoding:
    if model.version == recipe.ModelVersion.DeepseekV41Flash:
        return recipe.DeepseekV41Encoding().with_tokenizer(TOKENIZER.full)
    return recipe.DeepseekV4Encoding().with_tokenizer(TOKENIZER.full)


def _image_tokens(conversation: recipe.Conversation) -> int:
    """What images take beyond their placeholders. Images are looked at where they are given with
    the request; nothing is fetched, so one given by URL counts as the largest.
    """
    sources = [source for message in conversation.messages for source in message.image_sources]
    inline = [source for source in sources if source.data_url is not None]
    resolver = recipe.ImageResolver(recipe.ReqwestImageFetcher(), recipe.OpenCvImagePreprocessor())
    try:
        images = resolver.resolve(inline, recipe.ImageQuota())
    except recipe.ImageError as error:
        raise errors.invalid(str(error)) from error
    elsewhere = len(sources) - len(inline)
    return images.image_token_adjustment() + elsewhere * (MOST_IMAGE_TOKENS - 1)
