"""``GET /v1/models`` and ``GET /v1/models/{id}``."""

from urllib.parse import parse_qsl

import msgspec

from deepseek_messages.service.models import ModelDirectory, parse_page_query
from deepseek_messages.web.exchange import Exchange

_encode = msgspec.json.Encoder().encode

# Claude Code asks for the list under this name (its inference requests say ``claude-cli``).
CLAUDE_CODE = "claude-code/"

# More parameters than any client sends; the rest is not read.
MAX_PARAMETERS = 64


class ModelsHandler:
    """The list, in pages."""

    def __init__(self, directory: ModelDirectory) -> None:
        self._directory = directory

    async def __call__(self, exchange: Exchange) -> None:
        """Raises ``Refusal`` for a query that makes no sense, ``Fault`` for a dead upstream."""
        query = exchange.scope["query_string"].decode("latin-1")
        parameters = parse_qsl("&".join(query.split("&")[:MAX_PARAMETERS]))
        client = exchange.headers.get("user-agent", "")
        page = await self._directory.page(
            parse_page_query(parameters), for_claude_code=client.startswith(CLAUDE_CODE)
        )
        await exchange.reply(200, _encode(page))


class ModelHandler:
    """One model. Its id may hold slashes and colons."""

    def __init__(self, directory: ModelDirectory) -> None:
        self._directory = directory

    async def __call__(self, exchange: Exchange) -> None:
        """Raises ``Refusal`` (404) for a name that means no model."""
        info = await self._directory.one(exchange.scope["path_params"]["id"])
        await exchange.reply(200, _encode(info))
