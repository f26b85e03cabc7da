"""A chat request as token ids, and the reader of what the model writes after them.

Both are ``deepseek-recipe``'s, DeepSeek's published code: a model given these ids and read so
behaves as DeepSeek's own service does.
"""

from collections.abc import Sequence
from typing import Literal

import deepseek_recipe as recipe
import msgspec
from msgspec import Struct
from msgspec.structs import replace

from deepseek_messages.prompt.encoding import (
    FILE_IMAGE,
    NotEncodable,
    encoder,
    in_encoder_terms,
    options,
)
from deepseek_messages.prompt.encoding import segments as pieces_of
from deepseek_messages.prompt.images import count_image
from deepseek_messages.prompt.tokenizer import TOKENIZER, DeepSeekTokenizer
from deepseek_messages.translation.catalogue import Encoding
from deepseek_messages.wire.chat import ChatRequest

END_OF_SENTENCE = 1  # ``<｜end▁of▁sentence｜>`` of both vocabularies; part of no answer

# Where an image stands. The encoder spells it ``<｜image｜>``, which V4's vocabulary, the one at
# hand, has at another place; this is the number that V4.1's checkpoint and its servers know
# (config.json, ``image_token_id``). A server puts the image's own tokens there.
IMAGE = recipe.IMAGE_SPECIAL_TOKEN_ID
IMAGE_SPELLING = recipe.SpecialTokens().token(recipe.SpecialToken.Image)


class Constraint(Struct, frozen=True):
    """What the output has to satisfy: a JSON schema, or a regular expression."""

    kind: Literal["json", "regex"]
    text: str


class TokenPrompt(Struct, frozen=True, kw_only=True):
    """A prompt in token ids with the model's settings for it. ``tokens`` is its size with its
    images, of which ``ids`` have one each; ``exact`` is false where that is the most it can be.
    ``images`` are ``data:`` and ``http(s):`` URLs in the order in which they stand.
    """

    ids: list[int]
    images: list[str] = []
    tokens: int
    exact: bool = True
    request: recipe.ConversationRequest
    temperature: float | None
    top_p: float | None
    constraint: Constraint | None

    def max_tokens(self, window: int) -> int:
        """The most tokens to ask for, in a context of ``window`` tokens, where the request does
        not say: DeepSeek's own defaults. Raises ``NotEncodable`` for a prompt that leaves none.
        """
        try:
            return self.request.resolve_max_tokens(self.tokens, window)
        except recipe.ConversionError as refusal:
            raise NotEncodable(str(refusal)) from refusal


def to_tokens(
    chat: ChatRequest, encoding: Encoding, tokenizer: DeepSeekTokenizer = TOKENIZER
) -> TokenPrompt:
    """The prompt of ``chat``. CPU-bound; thread-safe. Raises ``NotEncodable`` when DeepSeek's own
    encoder refuses the request.
    """
    limited = replace(
        in_encoder_terms(chat, encoding),
        max_tokens=chat.max_tokens or chat.max_completion_tokens,
        temperature=chat.temperature,
        top_p=chat.top_p,
        stop=chat.stop,
        stream=True,
    )
    try:
        request = recipe.ChatCompletionRequest(msgspec.json.encode(limited)).convert(options())
        rendered = encoder(encoding).render_conversation(request.conversation)
        images = [_url(source) for source in rendered.image_sources]
        ids: list[int] = []
        for text, special in pieces_of(rendered):
            ids += _special_ids(text, tokenizer) if special else tokenizer.ids(text)
    except recipe.ConversionError as refusal:
        raise NotEncodable(str(refusal)) from refusal
    except (RuntimeError, ValueError) as refusal:
        raise NotEncodable(str(refusal)) from refusal
    wishes = request.inference_options
    counts = [count_image(source) for source in rendered.image_sources]
    return TokenPrompt(
        ids=ids,
        images=images,
        tokens=len(ids) + sum(count.tokens - 1 for count in counts),
        exact=all(count.exact for count in counts),
        request=request,
        temperature=wishes.temperature,
        top_p=wishes.top_p,
        constraint=_constraint(request),
    )


def _special_ids(spelling: str, tokenizer: DeepSeekTokenizer) -> list[int]:
    if spelling == IMAGE_SPELLING:
        return [IMAGE]
    known = tokenizer.special_ids.get(spelling)
    return tokenizer.ids(spelling) if known is None else [known]


def _url(source: recipe.ImageSource) -> str:
    """The image as a server takes it. The encoder lets everything pass that begins with ``http``,
    and a server may take what is no URL for the name of a file on its own machine.
    """
    url = source.data_url or source.url or ""
    if url == FILE_IMAGE.image_url.url:
        raise NotEncodable("an image by file id is for DeepSeek's API: send it as base64 or url")
    if not url.startswith(("data:", "http://", "https://")):
        raise NotEncodable("an image's url has to begin with data:, http:// or https://")
    return url


def _constraint(request: recipe.ConversationRequest) -> Constraint | None:
    """What a server can hold the whole output to. Not while the model thinks first: reasoning is
    no JSON. A forced call needs none: the prompt ends inside it.
    """
    wanted = request.inference_options.output_constraint
    if wanted is None or request.parsing_options.thinking_initial_stage is not None:
        return None
    match wanted.kind:
        case "json":
            return Constraint("json", wanted.schema or "{}")
        case "regex":
            return Constraint("regex", wanted.schema)
        case _:
            return None


class OutputReader:
    """Turns what the model writes, in pieces, into chat completion chunks as JSON."""

    def __init__(
        self, prompt: TokenPrompt, model: str, tokenizer: DeepSeekTokenizer = TOKENIZER
    ) -> None:
        generator = recipe.ChatCompletionRequest.chunk_generator(prompt.request, "chat", model)
        options = prompt.request.parsing_options
        self._processor = recipe.StreamProcessor(generator, options, tokenizer.full)
        usage = recipe.PromptUsage(prompt_tokens=prompt.tokens)
        self._first = recipe.InferenceChunk.ready(prompt_usage=usage)
        self._started = False

    @property
    def finished(self) -> bool:
        """Whether nothing more is wanted: a stop sequence was found."""
        return bool(self._processor.finished)

    def tokens(self, ids: Sequence[int]) -> list[bytes]:
        """Token ids of the output, as they came."""
        wanted = [each for each in ids if each != END_OF_SENTENCE]
        return self._push(recipe.InferenceChunk.tokens(wanted)) if wanted else []

    def text(self, text: str, tokens: int = 1) -> list[bytes]:
        """Text of the output, special tokens spelled out."""
        return self._push(recipe.InferenceChunk.text(text, tokens)) if text else []

    def end(self, reason: Literal["stop", "length"]) -> list[bytes]:
        """The server said that it was done."""
        reasons = recipe.InferenceFinishReason
        told = reasons.Length if reason == "length" else reasons.Stop
        said = self._push(recipe.InferenceChunk.finish(told))
        return said + [chunk.to_json().encode() for chunk in self._processor.finish()]

    def close(self) -> None:
        """Release it, whatever has come."""
        self._processor.close()

    def _push(self, chunk: recipe.InferenceChunk) -> list[bytes]:
        if self.finished:
            return []
        said = []
        if not self._started:
            self._started = True
            said = self._processor.push(self._first)
        said += self._processor.push(chunk)
        return [each.to_json().encode() for each in said]
