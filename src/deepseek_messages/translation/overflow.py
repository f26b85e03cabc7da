"""Overflow errors of chat servers, in the words that Anthropic's clients act on.

Claude Code and others match Anthropic's sentences: at ``prompt is too long`` they compact the
conversation, at ``input length and `max_tokens` exceed context limit`` they ask again with a
smaller ``max_tokens``, computed from the numbers in the sentence. The wordings on the left of
the table are those of DeepSeek's API, vLLM, SGLang, llama.cpp's server, Ollama and OpenAI.
"""

import re

# Figures: p prompt, o output asked for, m the model's limit, t prompt and output together.
_P, _O, _M, _T = (rf"(?P<{name}>[0-9][0-9,]*)" for name in "pomt")

_CONTEXT = [
    re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for pattern in (
        # DeepSeek, OpenAI, vLLM: requested T tokens (P in the messages, O in the completion)
        (
            rf"maximum context length is {_M}.*?requested {_T} tokens \({_P} in (?:the|your) "
            rf"(?:messages|prompt)[^,;)]*[,;] {_O} (?:in|for) the completion"
        ),
        # OpenAI with tools: (P in the messages, F in the functions, and O in the completion)
        (
            rf"maximum context length is {_M}.*?requested {_T} tokens \({_P} in the messages,"
            rf".*?{_O} in the completion"
        ),
        # vLLM: 'max_tokens' is too large: O. ... context length is M tokens and your request has P
        rf"is too large: {_O}.*?maximum context length is {_M} tokens and your request has {_P}",
        # vLLM: You passed P input tokens and requested O output tokens ... is only M
        rf"passed {_P} input tokens and requested {_O} output tokens.*?context length is only {_M}",
        # SGLang: maximum context length of M tokens ... total of T tokens: P from the input ... O
        (
            rf"maximum context length of {_M} tokens.*?total of {_T} tokens: {_P} tokens from the "
            rf"input messages and {_O} tokens for the completion"
        ),
        # SGLang: max_new_tokens that do not fit beside the input
        rf"input_tokens={_P}, max_new_tokens={_O},.*?capacity={_M}",
        # vLLM: However, your request has P input tokens
        rf"maximum context length is {_M}.*?request has {_P} input tokens",
        # OpenAI: your messages resulted in P tokens
        (
            rf"maximum context length is {_M}.*?(?:resulted in|requested|contains?)"
            rf"(?: about| at least)? {_P}"
        ),
        # vLLM: The decoder prompt (length P) is longer than the maximum model length of M
        rf"prompt \((?:total )?length {_P}\) is (?:longer than|too long).*?length(?: of)? {_M}",
        # SGLang: The input (P tokens) is longer than the model's context length (M tokens)
        rf"input \({_P} tokens\) is longer than the model'?s context length \({_M}",
        # SGLang: Input length (P tokens) exceeds the maximum allowed length (M tokens)
        rf"input length \({_P}(?: tokens)?\) exceeds .*?length \({_M}",
        # llama.cpp: request (P tokens) exceeds the available context size (M tokens)
        rf"request \({_P} tokens\) exceeds the available context size \({_M}",
        # llama-cpp-python and its kin: Requested tokens (P) exceed context window of M
        rf"tokens \({_P}\) exceeds? (?:the )?context (?:window|size|length)(?: of)? \(?{_M}",
        # Anthropic's own sentence, from a gateway in between
        rf"prompt is too long: {_P} tokens > {_M} maximum",
    )
]

# The same said without figures that can be read.
_CONTEXT_WORDS = re.compile(
    r"context_length_exceeded|exceed_context_size|maximum context length|"
    r"available context size|prompt is too long|prompt too long|input is too long|"
    r"(?:exceeds?|longer than|greater than)[^.]{0,40} (?:context (?:length|window|size)|"
    r"maximum model length)|too long to fit into the model",
    re.IGNORECASE,
)

_OUTPUT = [
    re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for pattern in (
        # DeepSeek: the valid range of max_tokens is [1, M]
        rf"valid range of max_tokens is \[[0-9]+, ?{_M}\]",
        # OpenAI: max_tokens is too large: O. This model supports at most M completion tokens
        rf"max_(?:completion_)?tokens'? is too large: {_O}.*?at most {_M}",
        # vLLM: max_tokens=O cannot be greater than max_model_len=M
        rf"max_tokens={_O} cannot be greater than max_model_len={_M}",
        rf"max_tokens: {_O} > {_M}, which is the maximum allowed",
    )
]


def anthropic_wording(
    message: str,
    *,
    max_tokens: int | None = None,
    prompt: int | None = None,
    limit: int | None = None,
) -> str | None:
    """The sentence of Anthropic's that an upstream's message stands for, with its figures, or
    ``None`` when the message is about something else.

    ``max_tokens`` is what the request asked for; ``prompt`` and ``limit`` are figures that the
    upstream gave beside its message (llama.cpp's ``n_prompt_tokens`` and ``n_ctx``).
    """
    for pattern in _CONTEXT:
        if found := pattern.search(message):
            figures = {name: _number(text) for name, text in found.groupdict().items()}
            return _context(figures["p"], figures.get("o"), figures["m"])
    if prompt is not None and limit is not None:
        return _context(prompt, None, limit)
    for pattern in _OUTPUT:
        if found := pattern.search(message):
            asked = found.groupdict().get("o")
            output = _number(asked) if asked else max_tokens
            return _output(output, _number(found["m"]), message)
    if _CONTEXT_WORDS.search(message):
        return message if "prompt is too long" in message else f"prompt is too long: {message}"
    return None


def _context(prompt: int, output: int | None, limit: int) -> str:
    if output and prompt <= limit:
        return (
            f"input length and `max_tokens` exceed context limit: {prompt} + {output} > {limit}, "
            "decrease input length or `max_tokens` and try again"
        )
    return f"prompt is too long: {prompt} tokens > {limit} maximum"


def _output(asked: int | None, limit: int, message: str) -> str | None:
    if asked is None or asked <= limit:
        return message
    return (
        f"max_tokens: {asked} > {limit}, which is the maximum allowed number of output tokens "
        "for this model"
    )


def _number(text: str) -> int:
    return int(text.replace(",", "")[:18])
