"""What ``serve`` says when it is ready: where it listens, what it serves, three lines to paste."""

import importlib.util
import json
import os
import sys
from pathlib import Path

from deepseek_messages import __version__
from deepseek_messages.cli.client import ANSWER_SHARE, CLAUDE_CODE_WINDOW, Access, Token
from deepseek_messages.settings import Settings

_AUTH = {
    "open": "no key needed; only this machine can reach the server",
    "keys": "a key of this server",
    "pass-through": "the caller's own key, passed on to the upstream",
}

_TOOL = {
    "name": "get_weather",
    "description": "Tells the weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


def banner(settings: Settings, access: Access, *, new_key: str | None = None) -> str:
    """The text to show. ``new_key`` is a key made at this start; it is shown this once."""
    parts = [
        f"deepseek-messages {__version__}",
        f"  address   {access.url}",
        f"  model     {_model(settings, access)}",
        f"  upstream  {_upstream(settings)}",
        f"  auth      {settings.auth_mode}: {_AUTH[settings.auth_mode]}",
    ]
    if new_key:
        parts += ["", f"  new key   {new_key}", "            (shown this once; keep it)"]
    parts += [
        "",
        "Try it:",
        "",
        curl_line(access),
        "",
        python_line(access),
        "",
        claude_line(access),
    ]
    return "\n".join(parts) + "\n"


def _upstream(settings: Settings) -> str:
    match settings.upstream_kind:
        case "embedded":
            return f"embedded: {settings.embedded.model}, inside this process"
        case "double":
            return "double: a stand-in for DeepSeek's API with made-up answers"
        case "chat" | "tokens" as kind:
            return f"{kind}: {settings.upstream.url}"
        case "pool":
            return f"several: {', '.join(member.name for member in settings.upstreams)}"


def _model(settings: Settings, access: Access) -> str:
    window = f", {access.window:,} tokens of context" if access.window else ""
    served = settings.upstream.model if settings.upstream_kind in ("chat", "tokens") else None
    return access.model + (f" (served by {served})" if served else "") + window


def curl_line(access: Access) -> str:
    """A streamed answer with curl."""
    body = {
        "model": access.model,
        "max_tokens": 200,
        "stream": True,
        "messages": [{"role": "user", "content": "Tell me a fact about whales."}],
    }
    return (
        f"curl -sN {access.url}/v1/messages -H {_header(access.token)} "
        f"-H 'content-type: application/json' -d '{json.dumps(body)}'"
    )


def python_line(access: Access) -> str:
    """A tool call with the official Python SDK."""
    token = access.token
    key = f'os.environ["{token.value}"]' if token.kind == "variable" else f'"{token.value}"'
    code = (
        f"import os, anthropic; "
        f'client = anthropic.Anthropic(base_url="{access.url}", api_key={key}); '
        f'print(client.messages.create(model="{access.model}", max_tokens=200, '
        f"tools=[{json.dumps(_TOOL)}], "
        'tool_choice={"type": "any"}, '
        'messages=[{"role": "user", "content": "How is the weather in Paris?"}]).content)'
    )
    return f"{_python()} -c '{code}'"


def claude_line(access: Access) -> str:
    """Claude Code on this server; reduced to its smallest request where the window is small."""
    token = access.token
    key = f'"${token.value}"' if token.kind == "variable" else token.value
    line = f"ANTHROPIC_BASE_URL={access.url} ANTHROPIC_AUTH_TOKEN={key} "
    line += f"ANTHROPIC_MODEL={access.model} "
    if access.window is None:
        return line + "claude"
    line += f"CLAUDE_CODE_MAX_CONTEXT_TOKENS={access.window} "
    if access.window >= CLAUDE_CODE_WINDOW:
        return line + "claude"
    line += f"CLAUDE_CODE_MAX_OUTPUT_TOKENS={access.window // ANSWER_SHARE} "
    remark = f"# its tools need {CLAUDE_CODE_WINDOW:,} tokens of context: without them here\n"
    return (
        remark + line + "claude --bare --tools '' --system-prompt 'Answer in one sentence.' "
        "-p 'Tell me a fact about whales.'"
    )


def _header(token: Token) -> str:
    if token.kind == "variable":
        return f'"x-api-key: ${token.value}"'
    return f"'x-api-key: {token.value}'"


def _python() -> str:
    """A Python that has the SDK: this one if it has, else the user's."""
    if importlib.util.find_spec("anthropic") is None:
        return "pip install anthropic && python3"
    program = Path(sys.executable)
    if program.is_relative_to(Path.cwd()):
        program = program.relative_to(Path.cwd())
    text = os.fspath(program)
    return f"'{text}'" if " " in text else text
