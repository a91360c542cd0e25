"""What can be said about the gateway's place in a Litestar application."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from litestar.di import Provide
from litestar.openapi.spec import SecurityRequirement
from litestar.types import Guard, Middleware

from asgi_llm import ConfigError, Gateway, Problem, Settings

from .identity import ToIdentity, default_identity

__all__ = ["LLMPluginConfig"]


@dataclass(kw_only=True)
class LLMPluginConfig:
    """Configuration of an ``LLMPlugin``: a gateway, or the settings of one, and how it is reached.

    Raises:
        ConfigError: neither or both of ``gateway`` and ``settings`` were given, or the settings cannot work.
    """

    gateway: Gateway | None = None
    """What answers. Its settings may be given instead."""
    settings: Settings | Mapping[str, Any] | str | os.PathLike[str] | None = None
    """Settings to make a gateway of: a dict, the path of a TOML file, or ``Settings``."""
    path: str = "/llm"
    """Where it answers. It may have parameters."""
    identity: Callable[..., Any] | Provide | None = None
    """The dependency that knows the user. Its own parameters are injected, as those of every dependency. Without it,
    the user is who an authentication middleware says it is (``request.user``)."""
    to_identity: ToIdentity = default_identity
    """Makes an ``Identity``, or its subject, of that user. Not asked about None: the gateway's own keys decide then."""
    guards: Sequence[Guard] = ()
    """Let a request pass or raise, like all guards. Those of the application apply as well."""
    middleware: Sequence[Middleware] = ()
    """For the gateway's paths only, such as an authentication of their own."""
    opt: Mapping[str, Any] = field(default_factory=dict)
    """For guards and middleware to read, e.g. ``{"exclude_from_auth": True}``."""
    tags: Sequence[str] = ("llm",)
    """For the OpenAPI document."""
    security: Sequence[SecurityRequirement] = ()
    """For the OpenAPI document."""
    include_in_schema: bool = True
    """Whether the endpoints stand in the OpenAPI document."""
    dependency_key: str = "llm_gateway"
    """The name by which handlers ask for the gateway. A dependency of the application that has the name is kept."""
    client_key: str = "llm_client"
    """The name by which handlers ask for ``Gateway.client`` on account of the user they serve. Where there is no user,
    the answer is 401."""

    def __post_init__(self) -> None:
        if (self.gateway is None) == (self.settings is None):
            raise ConfigError([Problem("LLMPluginConfig", "give either gateway or settings")])
