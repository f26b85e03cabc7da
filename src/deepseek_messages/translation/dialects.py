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
    takes_required: bool = True  # tool_choice "required" and a named tool really force a call
    parallel_tool_calls: bool = False  # takes parallel_tool_calls: false
    json_schema: bool = False  # response_format json_schema
    json_object: bool = True
    images: bool | None = None  # None: the catalogue's model record decides
    image_in_tool_result: bool = False
    tool_content_parts: bool = False
    system: SystemStyle = "in_place"
    top_k: bool = False
    max_stop_sequences: int | None = None
    max_temperature: float = 2.0
    user_id: bool = False  # takes DeepSeek's user_id
    strict_tools: bool = False
    prefix: PrefixStyle = "none"
    prefix_path: str | None = None  # DeepSeek: prefix mode lives under /beta
    stream_options: bool = True
    # --- what it says
    reports_stop_string: bool = False  # choices[].stop_reason names the matched stop string
    count: CountStyle = "none"


DEEPSEEK = Dialect(
    name="deepseek",
    path="/chat/completions",
    thinking="thinking",
    efforts={"low": "low", "medium": "high", "high": "high", "xhigh": "high", "max": "max"},
    replays_reasoning="reasoning_content",
    demands_reasoning=True,
    forced_tool_while_thinking=False,
    image_in_tool_result=True,
    tool_content_parts=True,
    max_stop_sequences=16,
    user_id=True,
    prefix="beta_prefix",
    prefix_path="/beta/chat/completions",
    count="deepseek",
)
