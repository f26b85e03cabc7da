"""A tiny MCP server over standard input and output: one tool, ``price``, and one that fails."""

import json
import sys

TOOLS = [
    {
        "name": "price",
        "description": "The price of an article.",
        "inputSchema": {
            "type": "object",
            "properties": {"article": {"type": "string"}},
            "required": ["article"],
        },
    },
    {"name": "broken", "description": "Always fails.", "inputSchema": {"type": "object"}},
]


def answer(method: str, parameters: dict) -> dict:
    match method:
        case "initialize":
            return {
                "protocolVersion": parameters["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "shop", "version": "1"},
            }
        case "tools/list":
            return {"tools": TOOLS}
        case "tools/call" if parameters["name"] == "price":
            text = f"{parameters['arguments']['article']}: 3 coins"
            return {"content": [{"type": "text", "text": text}]}
        case "tools/call":
            return {"content": [{"type": "text", "text": "out of order"}], "isError": True}
    return {}


for line in sys.stdin:
    request = json.loads(line)
    if "id" in request:
        result = answer(request["method"], request.get("params") or {})
        print(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}), flush=True)
