"""The golden conversations as DeepSeek V4 and V4.1 write them, token by token.

A golden is told by its message: what the model thought, said and called is written down by
DeepSeek's own encoder and sent as a token server sends it, under the golden's own plan.
"""

import json
from typing import Any

from msgspec.structs import replace

from deepseek_messages.translation.answer.response import chunks_of, decode_answer
from deepseek_messages.translation.answer.sse import ChunkReader
from deepseek_messages.translation.catalogue import Encoding
from deepseek_messages.translation.faults import Fault
from deepseek_messages.translation.plan import ReplyPlan
from deepseek_messages.wire.chat import (
    AssistantMessage,
    ChatChunk,
    ChunkChoice,
    FunctionCall,
    ToolCall,
)
from tests.support.goldens import HERE, Golden
from tests.support.token_route import MODELS, OFF, ON, TokenAnswer, chat, tools, written

GOLDENS = {path.parent.name: Golden(path.parent) for path in sorted(HERE.glob("*/about.txt"))}


def message(golden: Golden) -> dict[str, Any]:
    """The whole answer, or the error."""
    made: dict[str, Any] = json.loads((golden.folder / "message.json").read_text())
    return made


def plan(golden: Golden) -> ReplyPlan:
    """The golden's, as for a server that is given no stop sequences and cannot report them."""
    given = golden.plan
    if not given.reports_stop_string:
        return given
    return replace(given, reports_stop_string=False, watch_stops=given.stop_sequences)


def answer(golden: Golden, kind: str, encoding: Encoding, **more: Any) -> TokenAnswer:
    """The golden's answer from a server of ``kind``."""
    said = _said(golden)
    names = {call.function.name for call in said.tool_calls or ()} | golden.plan.tools
    thinks = golden.plan.thinking or said.reasoning_content is not None
    request = chat(
        MODELS[encoding], thinking=ON if thinks else OFF, tools=tools(*sorted(names)) or None
    )
    text = "one token" if golden.plan.no_output else written(request, said, encoding)
    finishes = [choice.finish_reason for choice in _choices(golden) if choice.finish_reason]
    more = {"finish": "length" if "length" in finishes else "stop"} | more
    return TokenAnswer(kind, encoding, request, text, **more)


def _said(golden: Golden) -> AssistantMessage:
    """What the model wrote: the message, and where that is not all, what the upstream sent."""
    content = message(golden).get("content", [])
    blocks = [block for block in content if block["type"] != "compaction"]
    thoughts = "".join(block.get("thinking", "") for block in blocks)
    text = "".join(block.get("text", "") for block in blocks)
    sent = {client: name for name, client in golden.plan.tool_names.items()}
    given = golden.plan
    deltas = [choice.delta for choice in _choices(golden) if choice.delta is not None]
    if given.display == "omitted":
        thoughts = "".join(delta.reasoning_content or "" for delta in deltas)
    if not content or given.sources or given.stop_sequences or given.compaction:
        text = "".join(delta.content or "" for delta in deltas)
    if given.reports_stop_string:  # its upstream stopped before it
        text += message(golden)["stop_sequence"] or ""
    calls = [
        ToolCall(
            f"call_{number}",
            FunctionCall(sent.get(block["name"], block["name"]), json.dumps(block["input"])),
        )
        for number, block in enumerate(blocks)
        if block["type"] == "tool_use"
    ]
    return AssistantMessage(
        content=text, reasoning_content=thoughts or None, tool_calls=calls or None
    )


def _choices(golden: Golden) -> list[ChunkChoice]:
    """The answer's part of each chunk that the golden's upstream sent, up to a fault."""
    chunks: list[ChatChunk] = []
    if golden.streamed:
        reader = ChunkReader()
        for number in range(len(golden.upstream)):
            try:
                chunks += reader.feed(golden.upstream[number : number + 1])
            except Fault:
                break
    elif b'"error"' not in golden.upstream:
        chunks = list(chunks_of(decode_answer(golden.upstream)))
    first = [choice for chunk in chunks for choice in (chunk.choices or ())[:1]]
    return [choice for choice in first if not choice.index]


def error_of_upstream(golden: Golden) -> Any:
    """The error that the golden's upstream reports."""
    if not golden.streamed:
        return json.loads(golden.upstream)["error"]
    lines = golden.upstream.splitlines()
    return next(json.loads(line[5:])["error"] for line in lines if b'{"error"' in line)


def plain(content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what differs from answer to answer: ids and signatures."""
    return [{k: v for k, v in block.items() if k not in ("id", "signature")} for block in content]
