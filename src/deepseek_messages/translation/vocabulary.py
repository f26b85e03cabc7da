"""The words that notes are made of, each with what it says. The reference page shows this table.

``{type}`` stands for the type of a tool or block as the Messages API names it.
"""

# Fields that are accepted and have no effect (``sampling``).
_WITHOUT_EFFECT = "Accepted; it has no effect here."

WORDS: dict[str, str] = {
    "billing_policy": _WITHOUT_EFFECT,
    "cache_control": "Accepted; DeepSeek caches every prompt's beginning by itself.",
    "citations": "Sources are numbered in the prompt; the model's marks become citations.",
    "compaction": "The model is asked for a summary, which is answered as a compaction block.",
    "container": _WITHOUT_EFFECT,
    "container_upload": "A text note stands for a file that only Anthropic's containers hold.",
    "context_management": "Old tool results or thinking were cleared, as asked for; ignored: of an "
    "unknown shape.",
    "context_management.compact": "No whole summary came: the answer rests on the whole "
    "conversation.",
    "context_management.edit": "An edit of an unknown kind was not applied.",
    "diagnostics": _WITHOUT_EFFECT,
    "document": "A text note stands for a document that is named by URL or file id.",
    "document.pdf": "A PDF was read: the model gets its pages.",
    "fallback_credit_token": _WITHOUT_EFFECT,
    "fallbacks": _WITHOUT_EFFECT,
    "image": "A text note stands for an image: the model cannot see, or its server takes no images "
    "with token ids (docs/how-to/token-ids.md says which do).",
    "inference_geo": _WITHOUT_EFFECT,
    "input_tokens": "The count is an estimate.",
    "max_tokens": "Clamped to the model's largest answer; emulated: 0 asks for one token, which is "
    "not shown.",
    "mcp_servers": "Servers of tools that this server was not told to reach are left out.",
    "metadata.user_id": "Not sent: the upstream knows no users.",
    "output_config.format": "The schema is part of the prompt, and the answer is checked.",
    "output_config.format.repair": "The answer broke its schema and was asked for once more.",
    "prefill": "The last answer cannot be continued here; the model answers anew.",
    "prefill.thinking_off": "A continued answer does not think.",
    "redacted_thinking": "Left out: only its maker can read it.",
    "safeguards": _WITHOUT_EFFECT,
    "safety_check": _WITHOUT_EFFECT,
    "service_tier": _WITHOUT_EFFECT,
    "speed": _WITHOUT_EFFECT,
    "stop_sequences": "Looked for here, since the upstream does not say which one matched.",
    "stop_sequences.empty": "An empty stop sequence is left out.",
    "system.billing_header": "Claude Code's accounting for Anthropic is left out of the prompt.",
    "tags": _WITHOUT_EFFECT,
    "temperature": "Moved into the upstream's range.",
    "thinking": "Ignored where the model, or the upstream, knows no reasoning; repaired: reasoning "
    "that DeepSeek demands is gone, and an empty one stands there.",
    "thinking.budget_tokens": "No effect: DeepSeek has no such limit.",
    "tool_choice": "Emulated by telling the model of one tool, or by asking again; ignored without "
    "tools; dropped with the tool it names.",
    "tool_choice.thinking_off": "A forced call does not think where the upstream cannot do both.",
    "tool_reference": "The tool it names is not among the request's tools.",
    "tool_removal": "The model is told in words that a tool is gone.",
    "tool_result.duplicate": "A second result of the same content is left out.",
    "tool_result.image": "The image of a result stands in the user's turn.",
    "tool_result.missing": "A call had no result: the model is told that it was interrupted.",
    "tool_result.orphan": "A result without its call became words of the user.",
    "tool_use": "A call outside an answer became text.",
    "tool_use.duplicate": "A second call of the same id is left out.",
    "tools.input_examples": "Examples are part of the tool's description.",
    "tools.input_schema": "The schema was repaired where DeepSeek would refuse it.",
    "tools.mcp_toolset": "The tools of an MCP server are run here; dropped: its server is not "
    "there.",
    "tools.name": "A name outside the upstream's alphabet was exchanged, there and back.",
    "tools.strict": "No effect: the upstream knows no strict tools.",
    "tools.{type}": "A server tool is run here; dropped: it cannot be.",
    "top_k": "No effect: the upstream has no such setting.",
    "top_p": "Moved into the upstream's range.",
    "unknown_block": "A text note stands for a block of an unknown type.",
    "usage": "The upstream was stopped before it told its usage; it was counted here.",
    "{type}": "A block of a server tool, as history, became text.",
}
