"""The settings tree: frozen pydantic models that refuse unknown keys.

The same tree comes as a Python dict, a TOML file, or nested in an application's own pydantic settings.
``Settings.load`` reports every mistake at once, each with its path; secrets are read from ``env://`` and ``file://``
references and never shown again. No I/O but reading those references and the TOML file.
"""

from .access import AccessSettings, CapSettings, RuleSettings
from .admin import AdminSettings
from .auth import AuthSettings, IssuedSettings, KeySettings
from .cache import CacheSettings
from .guards import (
    ClassifierGuardSettings,
    GuardSettings,
    LimitGuardSettings,
    PatternGuardSettings,
    PatternSettings,
    PersonalGuardSettings,
    TemplateGuardSettings,
)
from .health import HealthSettings
from .ledger import LedgerSettings
from .media import MediaSettings
from .prices import PriceSettings, PricesSettings, RateSettings, TierSettings
from .problems import literal_secrets
from .quotas import QuotaMatch, QuotaSettings
from .responses import ResponseSettings
from .routing import FallbackSettings, RouteSettings, RoutingSettings
from .serving import EndpointSettings, LimitSettings, StreamSettings
from .state import StateSettings
from .store import StoreSettings
from .target import (
    BASE_URL_OPTIONAL,
    BreakerSettings,
    HedgeSettings,
    PoolSettings,
    ProviderName,
    RetrySettings,
    TargetSettings,
    TimeoutSettings,
    TLSSettings,
    WorkerSettings,
    wrong_workers,
)
from .telemetry import DashboardSettings, TelemetrySettings
from .tools import MCPServerSettings, MCPSettings, ToolSettings
from .tree import Settings
from .values import Secret

__all__ = [
    "BASE_URL_OPTIONAL",
    "AccessSettings",
    "AdminSettings",
    "AuthSettings",
    "BreakerSettings",
    "CacheSettings",
    "CapSettings",
    "ClassifierGuardSettings",
    "DashboardSettings",
    "EndpointSettings",
    "FallbackSettings",
    "GuardSettings",
    "HealthSettings",
    "HedgeSettings",
    "IssuedSettings",
    "KeySettings",
    "LedgerSettings",
    "LimitGuardSettings",
    "LimitSettings",
    "MCPServerSettings",
    "MCPSettings",
    "MediaSettings",
    "PatternGuardSettings",
    "PatternSettings",
    "PersonalGuardSettings",
    "PoolSettings",
    "PriceSettings",
    "PricesSettings",
    "ProviderName",
    "QuotaMatch",
    "QuotaSettings",
    "RateSettings",
    "ResponseSettings",
    "RetrySettings",
    "RouteSettings",
    "RoutingSettings",
    "RuleSettings",
    "Secret",
    "Settings",
    "StateSettings",
    "StoreSettings",
    "StreamSettings",
    "TLSSettings",
    "TargetSettings",
    "TelemetrySettings",
    "TemplateGuardSettings",
    "TierSettings",
    "TimeoutSettings",
    "ToolSettings",
    "WorkerSettings",
    "literal_secrets",
    "wrong_workers",
]
