"""Turns scripted content into the chunks that DeepSeek's service would send.

The content is written as a model writes it (reasoning, answer, tool calls in DeepSeek's mark-up),
tokenized, and fed token by token to ``deepseek-recipe``'s stream processor, which is DeepSeek's
own output parser.
"""

import json
import re
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import deepseek_recipe as recipe
from deepseek_recipe import InferenceChunk, InferenceFinishReason

from deepseek_messages.prompt.tokenizer import TOKENIZER
from deepseek_messages.upstreams.double.rules import Accepted
from deepseek_messages.upstreams.double.script import Call, FinishReason, Step, Text, Think

THINKING_END = "</think>"
DSML = "｜DSML｜"

_FINISHES: dict[str, InferenceFinishReason] = {
    "length": InferenceFinishReason.Length,
    "content_filter": InferenceFinishReason.ContentFilter,
}


class ScriptError(Exception):
    """A script that no model could follow."""


class Generator:
    """Makes the chunks of one answer. Every method returns chunks as JSON texts; ``whole`` is
    the answer that is not streamed. After the last token that the request allows, or a stop
    sequence, further content is dropped, as the service stops its model.
    """

    def __init__(self, accepted: Accepted, cached_tokens: int, steps: Sequence[Step]) -> None:
        self.id = str(uuid.uuid4())
        self.output_ids: list[int] = []
        self._accepted = accepted
        self._usage = recipe.PromptUsage(
            prompt_tokens=accepted.prompt_tokens, prompt_cache_hit_tokens=cached_tokens
        )
        options = accepted.request.parsing_options
        stage = options.thinking_initial_stage
        self._reasoning = stage is not None and stage.starts_in_reasoning()
        self._calling = options.starts_in_tool_calls
        self._markup = _Markup(accepted.model.version)
        self._verbatim = any(isinstance(step, Call) and not _has_markup(step) for step in steps)
        self._verbatim_calls: list[dict[str, Any]] = []
        self._extra_tokens = 0
        self._finish: FinishReason | None = None
        self._chunks: list[recipe.ChatCompletionChunk] = []
        generator = recipe.ChatCompletionRequest.chunk_generator(
            accepted.request, self.id, accepted.model.id
        )
        self._processor = recipe.StreamProcessor(generator, options, TOKENIZER.full)

    @property
    def finished(self) -> bool:
        """Whether the answer has got its ``finish_reason``."""
        return self._processor.finished

    def start(self) -> Iterator[str]:
        """The first chunk."""
        yield from self._push(
            InferenceChunk.ready(prompt_usage=self._usage, system_fingerprint="fp_double")
        )

    def content(self, step: Think | Text | Call) -> Iterator[str]:
        """The chunks of one content step. Raises ``ScriptError``."""
        match step:
            case Think(text):
                yield from self._think(text)
            case Text(text):
                if self._calling or self._verbatim_calls:
                    raise ScriptError("no text can follow a call; use Frame")
                yield from self._end_reasoning()
                yield from self._write(text)
            case Call():
                yield from self._end_reasoning()
                if self._verbatim:
                    yield from self._call_verbatim(step)
                else:
                    yield from self._call(step)

    def finish(self, reason: FinishReason | None) -> Iterator[str]:
        """The last chunk, with the usage. Nothing if the answer ended before."""
        self._finish = reason
        if self.finished:
            return
        if reason in (None, "stop"):
            yield from self._end_reasoning()
            if self._calling:
                yield from self._write(self._markup.block_end)
        if not self.finished:
            yield from self._push(
                InferenceChunk.finish(_FINISHES.get(reason or "", InferenceFinishReason.Stop))
            )

    def whole(self) -> bytes:
        """The answer as one ``chat.completion`` object."""
        response = recipe.ChatCompletionResponse(
            self.id,
            self._accepted.model.id,
            _created(self._chunks),
            self._usage.prompt_tokens,
            self._usage.prompt_cache_hit_tokens,
        )
        for chunk in self._chunks:
            response.accumulate(chunk)
        answer = json.loads(response.to_json())
        choice = answer["choices"][0]
        if self._verbatim_calls:
            choice["message"]["tool_calls"] = self._verbatim_calls
        self._mend(choice, answer["usage"])
        return _compact(answer).encode()

    # --- parts ------------------------------------------------------------------------------------

    def _think(self, text: str) -> Iterator[str]:
        if self._reasoning:
            yield from self._write(text)
        elif self._accepted.thinking:
            raise ScriptError("reasoning comes first; use Frame for reasoning after the answer")

    def _end_reasoning(self) -> Iterator[str]:
        if self._reasoning:
            self._reasoning = False
            yield from self._write(THINKING_END)

    def _call(self, call: Call) -> Iterator[str]:
        block = "" if self._calling else self._markup.block_start
        self._calling = True
        yield from self._write(block + self._markup.invoke(call))

    def _call_verbatim(self, call: Call) -> Iterator[str]:
        if self.finished:
            return
        index = len(self._verbatim_calls)
        identity = call.id or f"call_{index:02}_{uuid.uuid4().hex[:24]}"
        function = {"name": call.name, "arguments": ""}
        head = {"index": index, "id": identity, "type": "function", "function": function}
        yield self._chunk({"tool_calls": [head]})
        for start in range(0, len(call.arguments), call.piece):
            piece = {"arguments": call.arguments[start : start + call.piece]}
            yield self._chunk({"tool_calls": [{"index": index, "function": piece}]})
        whole = {"name": call.name, "arguments": call.arguments}
        self._verbatim_calls.append({**head, "function": whole})
        self._extra_tokens += len(TOKENIZER.ids(call.name + call.arguments))

    def _chunk(self, delta: dict[str, Any]) -> str:
        """A chunk around a delta of ours, in the form of the others."""
        chunk: dict[str, Any] = json.loads(self._chunks[0].to_json())
        chunk["choices"][0]["delta"] = delta
        return _compact(chunk)

    def _write(self, text: str) -> Iterator[str]:
        for token in TOKENIZER.full.encode(text):
            if self.finished:
                return
            if len(self.output_ids) >= self._accepted.max_tokens:
                yield from self._push(InferenceChunk.finish(InferenceFinishReason.Length))
                return
            self.output_ids.append(token)
            yield from self._push(InferenceChunk.tokens([token]))

    def _push(self, chunk: InferenceChunk) -> Iterator[str]:
        for made in self._processor.push(chunk):
            assert isinstance(made, recipe.ChatCompletionChunk)
            self._chunks.append(made)
            yield self._mended(made.to_json())

    def _mended(self, text: str) -> str:
        """The last chunk with what a script asked for and the parser cannot say."""
        if '"finish_reason":null' in text:
            return text
        chunk = json.loads(text)
        self._mend(chunk["choices"][0], chunk["usage"])
        return _compact(chunk)

    def _mend(self, choice: dict[str, Any], usage: dict[str, Any]) -> None:
        if self._verbatim_calls and choice["finish_reason"] == "stop":
            choice["finish_reason"] = "tool_calls"
        if self._finish is not None:
            choice["finish_reason"] = self._finish
        usage["completion_tokens"] += self._extra_tokens
        usage["total_tokens"] += self._extra_tokens


class _Markup:
    """How a model version writes tool calls ("encoding" of its published checkpoint)."""

    def __init__(self, version: recipe.ModelVersion) -> None:
        newer = version == recipe.ModelVersion.DeepseekV41Flash
        self._space = " " if newer else ""
        block = self._tag("calls" if newer else "tool_calls")
        self.block_start = f"\n\n<{block}>\n"
        self.block_end = f"</{block}>"

    def invoke(self, call: Call) -> str:
        """One call. Its arguments must be a JSON object."""
        lines = [f'<{self._tag("invoke")} name="{call.name}">']
        for name, value in json.loads(call.arguments).items():
            plain = isinstance(value, str)
            shown = value if plain else json.dumps(value, ensure_ascii=False)
            tag, kind = self._tag("parameter"), "true" if plain else "false"
            lines.append(f'<{tag} name="{name}" string="{kind}">{shown}</{tag}>')
        return "\n".join([*lines, f"</{self._tag('invoke')}>", ""])

    def _tag(self, name: str) -> str:
        return f"{DSML}{self._space}{name}"


def _has_markup(call: Call) -> bool:
    """Whether a call survives DeepSeek's mark-up: an object of values, none of which contains
    the mark-up itself.
    """
    if call.verbatim or DSML in call.arguments or not re.fullmatch(r"[\w.-]+", call.name):
        return False
    try:
        arguments = json.loads(call.arguments)
    except ValueError:
        return False
    return isinstance(arguments, dict) and not any('"' in name for name in arguments)


def _created(chunks: Sequence[recipe.ChatCompletionChunk]) -> int:
    return int(json.loads(chunks[0].to_json())["created"])


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
