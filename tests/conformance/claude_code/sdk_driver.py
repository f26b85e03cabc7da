"""Uses the Claude Agent SDK as a user would; run by the interpreter of its environment.

Takes a scenario's name and, as JSON, the options; prints what happened as JSON. Nothing is judged
here.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

from claude_agent_sdk import (
    AssistantMessage,
    ClaudeAgentOptions,
    ClaudeSDKClient,
    HookMatcher,
    PermissionResultAllow,
    PermissionResultDeny,
    ResultMessage,
    TextBlock,
    ThinkingBlock,
    ToolUseBlock,
    create_sdk_mcp_server,
    query,
    tool,
)


class Log:
    """What the SDK handed out."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {"text": [], "thinking": [], "calls": [], "results": []}

    def take(self, message: object) -> None:
        if isinstance(message, AssistantMessage):
            for block in message.content:
                if isinstance(block, TextBlock):
                    self.facts["text"].append(block.text)
                elif isinstance(block, ThinkingBlock):
                    self.facts["thinking"].append(block.thinking)
                elif isinstance(block, ToolUseBlock):
                    self.facts["calls"].append([block.name, block.input])
        elif isinstance(message, ResultMessage):
            self.facts["results"].append(
                {
                    "text": message.result,
                    "error": message.is_error,
                    "turns": message.num_turns,
                    "usage": message.usage,
                    "structured": getattr(message, "structured_output", None),
                }
            )


async def ask(log: Log, options: ClaudeAgentOptions) -> None:
    async for message in query(prompt="Say hello", options=options):
        log.take(message)


async def stream_input(log: Log, options: ClaudeAgentOptions) -> None:
    async def prompts() -> AsyncIterator[dict[str, Any]]:
        for text in ("First question", "Second question"):
            yield {"type": "user", "message": {"role": "user", "content": text}}

    async for message in query(prompt=prompts(), options=options):
        log.take(message)


async def converse(log: Log, options: ClaudeAgentOptions) -> None:
    async with ClaudeSDKClient(options=options) as client:
        for text in ("First question", "Second question"):
            await client.query(text)
            async for message in client.receive_response():
                log.take(message)


async def own_tools(log: Log, options: ClaudeAgentOptions) -> None:
    @tool("add", "Add two numbers", {"a": float, "b": float})
    async def add(arguments: dict[str, Any]) -> dict[str, Any]:
        total = arguments["a"] + arguments["b"]
        return {"content": [{"type": "text", "text": f"The sum is {total}"}]}

    options.mcp_servers = {"sums": create_sdk_mcp_server("sums", tools=[add])}
    options.allowed_tools = ["mcp__sums__add"]
    await converse(log, options)


async def hooks(log: Log, options: ClaudeAgentOptions) -> None:
    log.facts["hooks"] = []

    async def before(data: Any, _id: str | None, _context: Any) -> dict[str, Any]:
        log.facts["hooks"].append([data["hook_event_name"], data["tool_input"]["command"]])
        if "forbidden" not in data["tool_input"]["command"]:
            return {}
        decision = {"permissionDecision": "deny", "permissionDecisionReason": "not this one"}
        return {"hookSpecificOutput": {"hookEventName": "PreToolUse", **decision}}

    async def after(data: Any, _id: str | None, _context: Any) -> dict[str, Any]:
        log.facts["hooks"].append([data["hook_event_name"], data["tool_input"]["command"]])
        return {}

    options.tools = ["Bash"]
    options.allowed_tools = ["Bash"]
    options.hooks = {
        "PreToolUse": [HookMatcher(matcher="Bash", hooks=[before])],
        "PostToolUse": [HookMatcher(matcher="Bash", hooks=[after])],
    }
    await converse(log, options)


async def permissions(log: Log, options: ClaudeAgentOptions) -> None:
    log.facts["asked"] = []

    async def may(name: str, given: dict[str, Any], _context: Any) -> Any:
        log.facts["asked"].append([name, given["command"]])
        if "forbidden" in given["command"]:
            return PermissionResultDeny(message="no, thank you")
        return PermissionResultAllow(updated_input={**given, "command": "touch allowed"})

    options.tools = ["Bash"]
    options.can_use_tool = may
    await converse(log, options)


async def structured(log: Log, options: ClaudeAgentOptions) -> None:
    schema = {
        "type": "object",
        "properties": {"age": {"type": "integer"}},
        "required": ["age"],
        "additionalProperties": False,
    }
    options.output_format = {"type": "json_schema", "schema": schema}
    await ask(log, options)


SCENARIOS = {
    each.__name__: each
    for each in (ask, stream_input, converse, own_tools, hooks, permissions, structured)
}


async def main(scenario: str, given: dict[str, Any]) -> dict[str, Any]:
    log = Log()
    options = ClaudeAgentOptions(
        model="deepseek-chat",
        system_prompt="You are a test.",
        tools=[],
        setting_sources=[],
        **given,
    )
    await SCENARIOS[scenario](log, options)
    return log.facts


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))))
