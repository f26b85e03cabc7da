"""The table of chat servers: what differs between them, as data.

One ``Dialect`` record per server. The translation reads these fields and never asks which
server it speaks to.
"""

from typing import Literal

from msgspec import Struct

MaxTokensField = Literal["max_tokens", "max_completion_tokens"]
ThinkingStyle = Literal[
    "thinking",  # {"thinking": {"type": ...}, "reasoning_effort": ...}: DeepSeek's API
    "template",  # {"chat_template_kwargs": {"thinking": bool, "enable_thinking": bool}}
    "effort",  # reasoning_effort alone: a level, or "none" for off
    "none",  # the server decides
]
PrefixStyle = Literal["beta_prefix", "continue_final_message", "trailing_assistant", "none"]
CountStyle = Literal["deepseek", "vllm", "llama.cpp", "none"]
SystemStyle = Literal["in_place", "user_reminder"]


class Dialect(Struct, frozen=True, kw_only=True):
    """What one kind of chat server takes and says."""

    name: str
    # --- what it takes
    path: str = "/v1/chat/completions"
    max_tokens_field: MaxTokensField = "max_tokens"
    thinking: ThinkingStyle = "none"
    efforts: dict[str, str] = {}  # Anthropic effort -> reasoning_effort; empty: not sent
    replays_reasoning: Literal["reasoning_content", "reasoning"] | None = None
    demands_reasoning: bool = False  # refuses tool turns whose reasoning is gone
    forced_tool_while_thinking: bool = True
    takes_required: bool = True  # tool_choice "required" really forces a call
    takes_named_tool: bool = True  # tool_choice with a function's name really forces that call
    parallel_tool_calls: bool = False  # takes parallel_tool_calls: false
    json_schema: bool = False  # response_format json_schema
    json_object: bool = True
    images: bool | None = None  # None: the catalogue's model record decides
    image_in_tool_result: bool = False
    tool_content_parts: bool = False
    system: SystemStyle = "in_place"
    top_k: bool = False
    max_temperature: float = 2.0
    user_id: bool = False  # takes DeepSeek's user_id
    strict_tools: bool = False
    prefix: PrefixStyle = "none"
    prefix_wo_eos: bool = False  # a last message that is to be continued says so itself, too
    prefix_path: str | None = None  # DeepSeek: prefix mode lives under /beta
    stream_options: bool = True
    # --- what it says
    # choices[].stop_reason names the matched stop string. Where it does not, stop sequences are
    # not sent but looked for in the text here (DeepSeek takes 16 and never says which matched).
    reports_stop_string: bool = False
    count: CountStyle = "none"


# DeepSeek's effort levels are low, high and max; the others are its own aliases for them
# (DeepSeek API docs, "Thinking Mode"). vLLM and SGLang pass the level to the same encoder.
_DEEPSEEK_EFFORTS = {"low": "low", "medium": "high", "high": "high", "xhigh": "high", "max": "max"}

# DeepSeek API reference, create-chat-completion; "Thinking Mode"; "Chat Prefix Completion";
# "Vision". The test double speaks it too.
DEEPSEEK = Dialect(
    name="deepseek",
    path="/chat/completions",
    thinking="thinking",
    efforts=_DEEPSEEK_EFFORTS,
    replays_reasoning="reasoning_content",
    demands_reasoning=True,
    forced_tool_while_thinking=False,
    image_in_tool_result=True,
    tool_content_parts=True,
    user_id=True,
    prefix="beta_prefix",
    prefix_path="/beta/chat/completions",
    count="deepseek",
)

# vllm/entrypoints/openai/chat_completion/protocol.py (ChatCompletionRequest and its answers:
# ``stop_reason``, ``reasoning``), vllm/entrypoints/chat_utils.py (reads a message's
# ``reasoning``), vllm/entrypoints/serve/tokenize/protocol.py. Its copy of DeepSeek's V4.1 encoder
# knows nothing of ``continue_final_message``, only the encoder's own ``wo_eos`` (without an end of
# the sentence; vllm/tokenizers/deepseek_v41_encoding.py).
VLLM = Dialect(
    name="vllm",
    thinking="template",
    efforts=_DEEPSEEK_EFFORTS,
    replays_reasoning="reasoning",
    parallel_tool_calls=True,
    json_schema=True,
    top_k=True,
    prefix="continue_final_message",
    prefix_wo_eos=True,
    reports_stop_string=True,
    count="vllm",
)

# sglang/srt/entrypoints/openai/protocol.py (ChatCompletionRequest; ``matched_stop`` and
# ``reasoning_content`` in answers; TokenizeRequest takes messages and tools as vLLM's does).
SGLANG = Dialect(
    name="sglang",
    thinking="template",
    efforts=_DEEPSEEK_EFFORTS,
    replays_reasoning="reasoning_content",
    parallel_tool_calls=True,
    json_schema=True,
    top_k=True,
    strict_tools=True,
    prefix="continue_final_message",
    reports_stop_string=True,
    count="vllm",
)

# llama.cpp tools/server/README.md and server-common.cpp (``oaicompat_chat_params_parse``:
# ``tool_choice`` is a word only, a last assistant message is continued, ``enable_thinking``
# must be a boolean). Many chat templates refuse a system message that is not the first.
LLAMA_CPP = Dialect(
    name="llama.cpp",
    thinking="template",
    replays_reasoning="reasoning_content",
    takes_named_tool=False,
    parallel_tool_calls=True,
    json_schema=True,
    system="user_reminder",
    top_k=True,
    prefix="trailing_assistant",
    count="llama.cpp",
)

# ollama/openai/openai.go (ChatCompletionRequest has no tool_choice, top_k or
# parallel_tool_calls; ``reasoning_effort`` is high, medium, low or none; a message's
# ``reasoning``). Its templates gather system messages at the front.
OLLAMA = Dialect(
    name="ollama",
    thinking="effort",
    efforts={"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"},
    replays_reasoning="reasoning",
    takes_required=False,
    takes_named_tool=False,
    json_schema=True,
    system="user_reminder",
    prefix="trailing_assistant",
)

# OpenAI API reference, create-chat-completion, and nothing beyond its oldest common part: a
# server of which nothing is known must not be sent what it could refuse.
GENERIC = Dialect(
    name="generic",
    system="user_reminder",
)

# llama.cpp inside this process: its request format, with forced calls, named tools and structured
# output held to their form by the upstream itself (``upstreams/embedded/forced.py``).
EMBEDDED = Dialect(
    name="embedded",
    thinking="template",
    replays_reasoning="reasoning_content",
    parallel_tool_calls=True,
    json_schema=True,
    system="user_reminder",
    top_k=True,
    prefix="trailing_assistant",
    count="llama.cpp",
)

# A server that gets token ids: what DeepSeek's own encoder takes (deepseek-recipe), whichever
# server it is. It leaves continued answers with tools to nobody, as DeepSeek's API does.
TOKENS = Dialect(
    name="tokens",
    thinking="thinking",
    efforts=_DEEPSEEK_EFFORTS,
    replays_reasoning="reasoning_content",
    forced_tool_while_thinking=False,
    json_schema=True,
    json_object=False,
    image_in_tool_result=True,
    tool_content_parts=True,
    top_k=True,
    prefix="beta_prefix",
    count="deepseek",
)

# By the names a person may set.
DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (DEEPSEEK, VLLM, SGLANG, LLAMA_CPP, OLLAMA, GENERIC, EMBEDDED)
} | {"double": DEEPSEEK, "openai": GENERIC, "llamacpp": LLAMA_CPP}

# ``owned_by`` in a model list -> dialect. vLLM: entrypoints ``ModelCard``; SGLang: ``ModelCard``;
# llama.cpp: "GET /v1/models"; Ollama: a model's namespace, ``library`` for its own; DeepSeek:
# API reference, list-models.
OWNERS: dict[str, Dialect] = {
    "deepseek": DEEPSEEK,
    "vllm": VLLM,
    "sglang": SGLANG,
    "llamacpp": LLAMA_CPP,
    "library": OLLAMA,
}


def by_host(host: str) -> Dialect | None:
    """The dialect of a host whose name alone tells, else ``None``."""
    name = host.lower().rstrip(".")
    return DEEPSEEK if name == "deepseek.com" or name.endswith(".deepseek.com") else None


def by_signs(owners: frozenset[str], server: str) -> Dialect | None:
    """The dialect of a server by the ``owned_by`` names of its model list (lower case) and its
    ``server`` header; ``None`` when they say nothing or contradict each other.
    """
    if server.lower().startswith("llama.cpp"):
        return LLAMA_CPP
    found = {OWNERS[owner].name for owner in owners if owner in OWNERS}
    return DIALECTS[found.pop()] if len(found) == 1 else None
