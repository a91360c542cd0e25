"""A target: a named upstream of the settings, everything prepared that does not depend on the request or the loop."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from asgi_llm.dialects.forwarded import BY_NAME
from asgi_llm.dialects.interface import Profile
from asgi_llm.errors import ConfigError, Problem
from asgi_llm.neutral.request import DialectName
from asgi_llm.providers.headers import Allowed, request_headers
from asgi_llm.providers.provider import Provider
from asgi_llm.providers.registry import PROVIDERS
from asgi_llm.routing.balance.registry import POLICIES
from asgi_llm.routing.catalog import Catalog, compile_glob
from asgi_llm.settings import Settings, TargetSettings
from asgi_llm.types import Headers
from asgi_llm.upstream.interface import Timeouts

from .member import Member, compile_timeouts, members_of

__all__ = ["Target", "compile_targets"]


@dataclass(frozen=True, slots=True)
class Target:
    """A target.

    Attributes:
        settings: as configured (retry, breaker, balance).
        dialects: what it speaks, the preferred one first.
        headers: dialect -> the headers of every request in that dialect: framing, credentials, the user's own.
        forwarded: dialect -> which of the caller's headers pass when the caller speaks it, too.
        forwarded_foreign: which pass when the caller speaks another dialect.
        members: its workers as the settings have them.
        endpoints: forwarded endpoint -> the path at which it is served.
        transport: the user's own httpx transport, or None.
        keys: the header of each key, where there are several; ``headers`` have the first.
        stream_timeouts, answer_timeouts: for streams, and for answers that come whole.
    """

    name: str
    provider: Provider
    settings: TargetSettings
    dialects: tuple[DialectName, ...]
    profile: Profile
    catalog: Catalog
    headers: Mapping[DialectName, Headers]
    forwarded: Mapping[DialectName, Allowed]
    forwarded_foreign: Allowed
    members: tuple[Member, ...]
    stream_timeouts: Timeouts
    answer_timeouts: Timeouts
    endpoints: Mapping[str, bytes]
    transport: Any = None
    keys: tuple[Headers, ...] = ()

    def upstream_model(self, model: str) -> str:
        """The upstream's name of the caller's ``model``."""
        return self.settings.models.get(model, model)

    def window(self, model: str) -> int | None:
        """Tokens that its ``model`` can take, as far as the settings say; the first pattern decides."""
        for pattern, tokens in self.settings.context_windows.items():
            if compile_glob(pattern)(model):
                return tokens
        return None


def compile_targets(settings: Settings, transports: Mapping[str, Any]) -> dict[str, Target]:
    """All targets of the settings by name.

    Raises:
        ConfigError: dialects a provider has no path for, workers that cannot be talked to as the settings say.
    """
    problems: list[Problem] = []
    targets: dict[str, Target] = {}
    for name, item in settings.targets.items():
        provider = PROVIDERS[item.provider]
        for position, dialect in enumerate(item.dialects):
            if dialect not in provider.paths:
                spoken = ", ".join(provider.paths)
                path = f"targets.{name}.dialects[{position}]"
                problems.append(Problem(path, f'provider "{provider.name}" does not speak it; it speaks: {spoken}'))
        problems += [Problem(f"targets.{name}.balance_options", said) for said in _refused_options(item)]
        problems += [
            Problem(f"targets.{name}.endpoints.{unknown}", f"is no endpoint; there are: {', '.join(BY_NAME)}")
            for unknown in item.endpoints
            if unknown not in BY_NAME
        ]
        try:
            targets[name] = _compile(name, item, provider, transports.get(name))
        except ConfigError as error:
            problems += error.problems
    problems += [
        Problem("transports", f'there is no target "{name}"') for name in transports if name not in settings.targets
    ]
    if problems:
        raise ConfigError(problems)
    return targets


def _compile(name: str, item: TargetSettings, provider: Provider, transport: Any) -> Target:
    # Engines know the members by which a pair meets in this dialect only.
    paired = any(worker.role != "regular" for worker in item.workers)
    dialects = item.dialects or (("chat",) if paired else provider.dialects)
    patterns = [compile_glob(pattern.lower()) for pattern in item.forward_headers]
    streams, answers = compile_timeouts(item.timeouts)
    return Target(
        name=name,
        provider=provider,
        settings=item,
        dialects=dialects,
        profile=_profile(item, provider),
        catalog=Catalog(item.allow, item.deny),
        headers={dialect: _headers(item, provider, dialect) for dialect in dialects},
        forwarded={dialect: request_headers(dialect, patterns) for dialect in dialects},
        forwarded_foreign=request_headers(None),
        members=members_of(name, item, provider),
        stream_timeouts=streams,
        answer_timeouts=answers,
        endpoints=_endpoints(item, provider),
        transport=transport,
        keys=_keys(item, provider),
    )


def _endpoints(item: TargetSettings, provider: Provider) -> dict[str, bytes]:
    given = {name: path.encode("ascii") for name, path in item.endpoints.items()}
    return {name: path for name, path in {**provider.endpoints, **given}.items() if path}


def _refused_options(item: TargetSettings) -> list[str]:
    kind = POLICIES[item.balance]
    known = [field.name for field in fields(kind.options)]
    unknown = [name for name in item.balance_options if name not in known]
    if unknown:
        there_are = f"it takes: {', '.join(known)}" if known else "it takes none"
        return [f'{item.balance} has no option "{name}"; {there_are}' for name in unknown]
    try:
        kind.options(**item.balance_options)
    except (TypeError, ValueError) as error:
        return [str(error)]
    return []


def _profile(item: TargetSettings, provider: Provider) -> Profile:
    profile = replace(provider.profile, default_max_tokens=item.max_tokens, hosted_tools=item.hosted_tools)
    if item.stream_usage is not None:
        profile = replace(profile, stream_usage=item.stream_usage)
    return profile


def _headers(item: TargetSettings, provider: Provider, dialect: DialectName) -> Headers:
    headers: Headers = [
        (b"content-type", b"application/json"),
        # Compressed answers could not be watched for usage, and compressed events would arrive late.
        (b"accept-encoding", b"identity"),
    ]
    key = item.api_keys[0] if item.api_keys else item.api_key
    if key is not None:
        headers += provider.credentials(key.get_secret_value())
    headers += [
        (name.lower().encode("latin-1"), value.get_secret_value().encode("latin-1"))
        for name, value in item.headers.items()
    ]
    return headers


def _keys(item: TargetSettings, provider: Provider) -> tuple[Headers, ...]:
    if len(item.api_keys) < 2:
        return ()
    return tuple(provider.credentials(key.get_secret_value()) for key in item.api_keys)
