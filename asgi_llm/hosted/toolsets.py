"""MCP servers as callers of Messages name them: an ``mcp_toolset`` among the tools, its server in ``mcp_servers``.

Anthropic Messages API, "MCP connector". It knows no approval: what may only be called when somebody says so is refused.
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from asgi_llm.errors import ClientError

__all__ = ["server_definition"]


class _Config(Struct):
    enabled: bool | None = None


class _Toolset(Struct):
    mcp_server_name: str = ""
    default_config: _Config | None = None
    configs: dict[str, _Config] | None = None


class _Server(Struct):
    name: str = ""
    url: str | None = None
    authorization_token: str | None = None


_toolset = msgspec.json.Decoder(_Toolset)
_servers = msgspec.json.Decoder(list[_Server])


def server_definition(toolset: Raw | None, servers: Raw | None, path: str) -> Raw:
    """The same as callers of Responses say it. ``path`` is the toolset's in the request.

    Raises:
        ClientError: it is not what the API takes.
    """
    try:
        wanted, known = _toolset.decode(toolset or b"{}"), _servers.decode(servers or b"[]")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ClientError(f"mcp_servers or {path}: {str(error)[:200]}", param=path) from None
    found = next((one for one in known if one.name == wanted.mcp_server_name), None)
    if found is None or not found.name:
        place = f"{path}.mcp_server_name"
        raise ClientError(f"{place}: mcp_servers has none of that name.", param=place)
    configs = wanted.configs or {}
    by_default = wanted.default_config is None or wanted.default_config.enabled is not False
    definition: dict[str, Any] = {
        "server_label": found.name,
        "server_url": found.url or None,
        "authorization": found.authorization_token,
        "require_approval": "never",
        "barred_tools": [name for name, config in configs.items() if config.enabled is False],
    }
    if not by_default:
        definition["allowed_tools"] = [name for name, config in configs.items() if config.enabled]
    return Raw(msgspec.json.encode(definition))
