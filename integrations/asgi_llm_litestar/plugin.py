"""``LLMPlugin``: the gateway as a part of a Litestar application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from litestar.config.app import AppConfig
from litestar.di import Provide
from litestar.plugins import CLIPlugin, InitPlugin

from asgi_llm import ConfigError, Gateway, Problem

from .client import USER, client_provider
from .config import LLMPluginConfig
from .csrf import check_without_key
from .handlers import Place, make_handlers, provide_user, segments

if TYPE_CHECKING:
    from click import Group

__all__ = ["LLMPlugin"]

_UNCOMPRESSED = "exclude_from_compression"


class LLMPlugin(InitPlugin, CLIPlugin):
    """Adds the gateway's endpoints to an application, runs the gateway for as long as the application runs, and lets
    handlers have it as the dependency ``llm_gateway``, or a client for their user as ``llm_client``.

    Attributes:
        gateway: what answers.
    """

    gateway: Gateway

    def __init__(self, config: LLMPluginConfig) -> None:
        """
        Raises:
            ConfigError: the settings cannot work.
        """
        self.config = config
        self.gateway = config.gateway if config.gateway is not None else Gateway(config.settings or {})

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        config = self.config
        names = segments(app_config.path) + segments(config.path)
        path = "/" + "/".join(names)
        fixed = None if "{" in path or path == "/" else path
        place = Place(self.gateway, len(names), fixed, list(config.middleware), dict(config.opt))
        place = _checked(_uncompressed(place, app_config), app_config)
        app_config.route_handlers.extend(make_handlers(config, place))
        app_config.dependencies.setdefault(config.dependency_key, _provider(self.gateway))
        self._offer_client(app_config)
        app_config.lifespan.append(lambda _app: self._running(path))
        return app_config

    @asynccontextmanager
    async def _running(self, path: str) -> AsyncIterator[None]:
        self.gateway.asgi.refuse_hidden([path])
        async with self.gateway.running():
            yield

    def _offer_client(self, app_config: AppConfig) -> None:
        config, known = self.config, app_config.dependencies
        if config.client_key in known:
            return
        known[config.client_key] = Provide(client_provider(config, self.gateway))
        if config.identity is None:
            return
        if USER in known:
            said = f'another plugin, or the application, has a dependency "{USER}" already'
            raise ConfigError([Problem("LLMPluginConfig.client_key", said)])
        known[USER] = _Everywhere.of(provide_user(config.identity))

    def on_cli_init(self, cli: "Group") -> None:
        from .commands import commands

        cli.add_command(commands)


class _Everywhere(Provide):
    """The same provider as that of the gateway's own handlers. Litestar would take the two for one that was given
    twice by mistake."""

    __slots__ = ()

    @classmethod
    def of(cls, provider: Provide) -> "_Everywhere":
        same: Any = copy(provider)
        same.__class__ = cls
        return same  # type: ignore[no-any-return]  # it is one now

    def __eq__(self, other: object) -> bool:
        return other is self

    __hash__ = object.__hash__


def _uncompressed(place: Place, app_config: AppConfig) -> Place:
    """Litestar's compression takes every type of content, streams of events as well."""
    compression = app_config.compression_config
    if compression is None:
        return place
    if compression.exclude_opt_key is None:
        app_config.compression_config = compression = replace(compression, exclude_opt_key=_UNCOMPRESSED)
    return replace(place, opt={str(compression.exclude_opt_key): True, **place.opt})


def _checked(place: Place, app_config: AppConfig) -> Place:
    """Litestar's check of every request is replaced by one of those without a key, unless ``opt`` has decided."""
    csrf = app_config.csrf_config
    if csrf is None or csrf.exclude_from_csrf_key in place.opt:
        return place
    opt = {**place.opt, csrf.exclude_from_csrf_key: True}
    return replace(place, opt=opt, middleware=[*place.middleware, check_without_key(csrf)])


def _provider(gateway: Gateway) -> Any:
    async def provide() -> Gateway:
        return gateway

    return Provide(provide)
