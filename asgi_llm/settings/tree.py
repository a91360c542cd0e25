"""The whole tree, and where it is read from."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ModelWrapValidatorHandler, PlainSerializer, ValidationError, model_validator

from asgi_llm.errors import ConfigError, Problem

from .access import AccessSettings
from .admin import AdminSettings
from .auth import AuthSettings
from .cache import CacheSettings
from .guards import GuardSettings
from .ledger import LedgerSettings
from .media import MediaSettings
from .prices import PricesSettings
from .problems import cross_check, problems_of, without_input
from .quotas import QuotaSettings
from .responses import ResponseSettings
from .routing import RouteSettings, RoutingSettings
from .serving import EndpointSettings, LimitSettings, StreamSettings
from .state import StateSettings
from .store import StoreSettings
from .target import TargetSettings
from .telemetry import DashboardSettings, TelemetrySettings
from .tools import ToolSettings
from .values import Model, Name

__all__ = ["Settings"]


def _plain_targets(value: dict[str, TargetSettings]) -> dict[str, Any]:
    return {name: target.model_dump() for name, target in value.items()}


class Settings(Model):
    """All of it. ``Settings.load`` reads any source; the constructor is for settings nested in an application's own."""

    targets: Annotated[dict[Name, TargetSettings], Field(min_length=1), PlainSerializer(_plain_targets)]
    default_target: str | None = None
    routes: tuple[RouteSettings, ...] = ()
    routing: RoutingSettings = Field(default_factory=RoutingSettings)
    auth: AuthSettings = Field(default_factory=AuthSettings)
    stream: StreamSettings = Field(default_factory=StreamSettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    endpoints: EndpointSettings = Field(default_factory=EndpointSettings)
    responses: ResponseSettings = Field(default_factory=ResponseSettings)
    media: MediaSettings = Field(default_factory=MediaSettings)
    admin: AdminSettings = Field(default_factory=AdminSettings)
    store: StoreSettings = Field(default_factory=StoreSettings)
    ledger: LedgerSettings | None = None
    prices: PricesSettings = Field(default_factory=PricesSettings)
    state: StateSettings = Field(default_factory=StateSettings)
    access: AccessSettings = Field(default_factory=AccessSettings)
    quotas: tuple[QuotaSettings, ...] = ()
    guards: tuple[GuardSettings, ...] = ()
    cache: CacheSettings | None = None
    telemetry: TelemetrySettings = Field(default_factory=TelemetrySettings)
    dashboard: DashboardSettings = Field(default_factory=DashboardSettings)
    tools: ToolSettings = Field(default_factory=ToolSettings)

    @model_validator(mode="wrap")
    @classmethod
    def _hide_input(cls, value: Any, handler: ModelWrapValidatorHandler["Settings"]) -> "Settings":
        """Where an application's own settings hold these, pydantic would print what is wrong, secrets and all."""
        try:
            return handler(value)
        except ValidationError as error:
            raise without_input(error) from None

    @classmethod
    def load(cls, source: "Settings | Mapping[str, Any] | str | os.PathLike[str]") -> "Settings":
        """Settings from a dict, a TOML file's path, or settings already built.

        Raises:
            ConfigError: with every problem found, each with its path.
        """
        raw = source if isinstance(source, Settings | Mapping) else _read_toml(Path(source))
        problems: list[Problem] = []
        settings: Settings | None = None
        if isinstance(raw, Settings):
            settings, tree = raw, raw.model_dump()
        else:
            tree = dict(raw)
            try:
                settings = cls.model_validate(tree)
            except ValidationError as error:
                problems += problems_of(error, cls)
        problems += cross_check(tree)
        if problems or settings is None:
            raise ConfigError(problems)
        return settings


def _read_toml(path: Path) -> dict[str, Any]:
    import tomllib  # most hosts have their settings elsewhere

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([Problem("", f"the file {path} cannot be read: {error.strerror}")]) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError([Problem("", f"the file {path} is not TOML: {error}")]) from None
