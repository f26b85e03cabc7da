"""A prompt's size by the server's own tokenizer, where the server offers that."""

from msgspec import Struct
from msgspec.structs import replace

from deepseek_messages.translation.answer.usage import MAX_COUNT
from deepseek_messages.translation.dialects import Dialect
from deepseek_messages.translation.faults import Fault
from deepseek_messages.translation.limits import COUNT_TIMEOUT
from deepseek_messages.upstreams.base import UpstreamCall
from deepseek_messages.upstreams.http.probe import Probe
from deepseek_messages.wire.chat import (
    AssistantMessage,
    ChatMessage,
    ChatRequest,
    FunctionTool,
    TextPart,
)


class TokenizeRequest(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """vLLM's and SGLang's ``/tokenize`` for messages: the fields of the chat request that shape
    the prompt (vLLM ``entrypoints/serve/tokenize/protocol.py``, SGLang ``TokenizeRequest``).
    """

    model: str
    messages: list[ChatMessage]
    tools: list[FunctionTool] | None = None
    chat_template_kwargs: dict[str, bool | str] | None = None
    reasoning_effort: str | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None


async def count_prompt(probe: Probe, dialect: Dialect, call: UpstreamCall) -> int | None:
    """The exact count, or ``None``: the server has no tokenizer to ask, did not answer, or the
    prompt holds images, whose tokens these answers do not include.
    """
    if not _text_only(call.request):
        return None
    try:
        match dialect.count:
            case "vllm":
                return await _tokenize(probe, call)
            case "llama.cpp":
                return await _input_tokens(probe, call)
            case "deepseek" | "none":
                return None
    except Fault:
        return None


def _text_only(request: ChatRequest) -> bool:
    return all(
        isinstance(message, AssistantMessage)
        or isinstance(message.content, str)
        or all(isinstance(part, TextPart) for part in message.content)
        for message in request.messages
    )


async def _tokenize(probe: Probe, call: UpstreamCall) -> int | None:
    request = call.request
    question = TokenizeRequest(
        model=request.model,
        messages=request.messages,
        tools=request.tools,
        chat_template_kwargs=request.chat_template_kwargs,
        reasoning_effort=request.reasoning_effort,
        add_generation_prompt=request.add_generation_prompt,
        continue_final_message=request.continue_final_message,
    )
    url = probe.origin.root("/tokenize")
    said = await probe.ask("POST", url, question, credential=call.credential, within=COUNT_TIMEOUT)
    return _whole(said.value, "count")


async def _input_tokens(probe: Probe, call: UpstreamCall) -> int | None:
    """llama.cpp: its own count of a chat request (tools/server/README.md, ``input_tokens``), or
    with older builds the rendered prompt, tokenized.
    """
    request = replace(call.request, stream=False, stream_options=None)
    url = probe.origin.api("/v1/chat/completions/input_tokens")
    try:
        said = await probe.ask(
            "POST", url, request, credential=call.credential, within=COUNT_TIMEOUT
        )
        return _whole(said.value, "input_tokens")
    except Fault as fault:
        if fault.upstream_status not in {404, 405, 501}:
            raise
    return await _rendered(probe, call, request)


async def _rendered(probe: Probe, call: UpstreamCall, request: ChatRequest) -> int | None:
    ask, key = probe.ask, call.credential
    template = probe.origin.root("/apply-template")
    said = await ask("POST", template, request, credential=key, within=COUNT_TIMEOUT)
    prompt = said.value.get("prompt") if isinstance(said.value, dict) else None
    if not isinstance(prompt, str):
        return None
    question = {"content": prompt, "add_special": True, "parse_special": True}
    url = probe.origin.root("/tokenize")
    said = await ask("POST", url, question, credential=key, within=COUNT_TIMEOUT)
    tokens = said.value.get("tokens") if isinstance(said.value, dict) else None
    return len(tokens) if isinstance(tokens, list) else None


def _whole(value: object, key: str) -> int | None:
    count = value.get(key) if isinstance(value, dict) else None
    return count if type(count) is int and 0 <= count <= MAX_COUNT else None
