"""The tools that this server runs: ``[tools]``."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from deepseek_messages.settings.secret import Secret
from deepseek_messages.settings.values import Seconds


class ToolsSettings(Struct, frozen=True, kw_only=True):
    """The tools that this server runs inside answers. All of them reach out of it, so all are off
    unless they are asked for.
    """

    web_search: Annotated[
        Literal["off", "deepseek", "searxng", "tavily", "brave"],
        Meta(
            description="Who searches for web_search_*. deepseek: DeepSeek's own endpoint, with "
            "the upstream's key. off: such tools are left out with a note."
        ),
    ] = "off"
    web_search_url: Annotated[
        str | None,
        Meta(description="Base URL of the search service; needed for searxng."),
    ] = None
    web_search_key: Annotated[
        Secret | None, Meta(description="Key for the search service; needed for tavily and brave.")
    ] = None
    web_fetch: Annotated[
        Literal["off", "direct", "deepseek"],
        Meta(
            description="Who reads pages for web_fetch_*. direct: this server, which reaches "
            "public addresses only. deepseek: DeepSeek's own endpoint. off: such tools are left "
            "out with a note."
        ),
    ] = "off"
    mcp_hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="Hosts of MCP servers that requests may name in mcp_servers; empty: "
            "mcp_servers is left out with a note. Needs the extra `mcp`."
        ),
    ] = ()
    allow_private: Annotated[
        bool,
        Meta(
            description="Let pages and MCP servers be read at addresses inside this network, over "
            "plain HTTP too. For tests and closed networks only."
        ),
    ] = False
    timeout: Annotated[
        Seconds, Meta(description="Longest time that one search, page or MCP call may take.")
    ] = 30.0
