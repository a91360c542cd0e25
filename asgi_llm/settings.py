"""The settings tree: frozen pydantic models that refuse unknown keys.

The same tree comes as a Python dict, a TOML file, or nested in an application's own pydantic settings.
``Settings.load`` reports every mistake at once, each with its path; secrets are read from ``env://`` and ``file://``
references and never shown again. No I/O but reading those references and the TOML file.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    ValidationError,
    model_validator,
)

from asgi_llm.errors import ConfigError, Problem
from asgi_llm.neutral.request import DialectName

__all__ = [
    "AuthSettings",
    "BreakerSettings",
    "EndpointSettings",
    "KeySettings",
    "LimitSettings",
    "PoolSettings",
    "ProviderName",
    "RetrySettings",
    "RouteSettings",
    "Secret",
    "Settings",
    "StreamSettings",
    "TLSSettings",
    "TargetSettings",
    "TimeoutSettings",
    "WorkerSettings",
    "literal_secrets",
]

ProviderName = Literal["anthropic", "echo", "gemini", "openai", "openai_compatible", "sglang", "vllm"]
BalanceName = Literal[
    "round_robin",
    "random",
    "weighted",
    "power_of_two",
    "least_load",
    "cache_aware",
    "prefix_hash",
    "consistent_hash",
    "sticky",
    "bucket",
]
BASE_URL_OPTIONAL = frozenset({"anthropic", "echo", "gemini", "openai"})
"""Providers with an address of their own; all others must be told one."""

_REFERENCE = re.compile(r"^(env|file)://(.+)$", re.DOTALL)
_TOKEN = re.compile(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_FRAMING = frozenset({"accept-encoding", "connection", "content-length", "content-type", "host", "transfer-encoding"})
_GLOB = re.compile(r"^(?:[^\s\[\]{}\x00-\x1f]|\[!?\]?[^\[\]\s]+\])+\Z")


def _resolve_secret(value: Any) -> Any:
    if not isinstance(value, str) or (match := _REFERENCE.match(value)) is None:
        return value
    scheme, name = match.groups()
    if scheme == "env":
        if not (found := os.environ.get(name, "").strip()):
            raise ValueError(f"the environment variable {name} is not set")
        return found
    try:
        found = Path(name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ValueError(f"the file {name} cannot be read: {reason}") from None
    if not found:
        raise ValueError(f"the file {name} is empty")
    return found


def _visible_ascii(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text or any(not 0x21 <= ord(char) <= 0x7E for char in text):
        raise ValueError("must be visible ASCII characters without spaces, since it is sent in a header")
    return value


Secret = Annotated[SecretStr, BeforeValidator(_resolve_secret)]
"""A literal, or ``env://NAME`` or ``file:///path``, read once at load; shown as asterisks everywhere."""

HeaderSecret = Annotated[SecretStr, BeforeValidator(_resolve_secret), AfterValidator(_visible_ascii)]


def _header_value(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text or text != text.strip(" ") or any(not 0x20 <= ord(char) <= 0x7E for char in text):
        raise ValueError("must be visible ASCII characters, with spaces only between them")
    return value


def _header_name(value: str) -> str:
    if not _TOKEN.match(value):
        raise ValueError("is not the name of a header")
    if value.lower() in _FRAMING:
        raise ValueError("is a header that the gateway writes itself")
    return value


HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderValue = Annotated[SecretStr, BeforeValidator(_resolve_secret), AfterValidator(_header_value)]


def _check_glob(value: str) -> str:
    if not _GLOB.match(value):
        raise ValueError("is not a glob: use *, ? and [abc] or [!abc], no spaces and no braces")
    return value


Glob = Annotated[str, AfterValidator(_check_glob)]
"""A case-sensitive anchored pattern for model names; ``*`` crosses ``/``."""


def _check_url(value: str) -> str:
    parts = urlsplit(value)
    try:
        port = parts.port
    except ValueError:
        raise ValueError("has a port that is not a number from 1 to 65535") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise ValueError("must be an http:// or https:// address with a host")
    if parts.query or parts.fragment or parts.username or parts.password is not None:
        raise ValueError("must not carry a query, a fragment, a user or a password")
    return value.rstrip("/")


HTTPAddress = Annotated[str, AfterValidator(_check_url)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$")]
Prefix = Annotated[str, Field(pattern=r"^/[A-Za-z0-9_./-]*[A-Za-z0-9_-]$")]


class _Model(BaseModel):
    # Defaults are validated too: a wrong default would otherwise be the one mistake nobody reports.
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, protected_namespaces=())


class TimeoutSettings(_Model):
    """In seconds; 0 means none. ``first_byte`` is for streams, ``answer`` for the head of an answer that is not
    streamed, which comes when everything has been said."""

    connect: Seconds = 5
    first_byte: Seconds = 120
    answer: Seconds = 600
    idle: Seconds = 120
    total: Seconds = 0


class RetrySettings(_Model):
    """Before the first forwarded byte only. ``attempts`` counts the first one; the wait before attempt n is
    ``base * factor ** (n - 2)`` seconds, at most ``cap``, spread by ``jitter`` (0 to 1) of itself."""

    attempts: Annotated[int, Field(ge=1, le=20)] = 3
    base: Seconds = 0.05
    factor: Annotated[float, Field(ge=1, le=10)] = 1.5
    cap: Seconds = 5
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.2


class BreakerSettings(_Model):
    """``failures`` within ``window`` seconds pass a worker over for ``open_for`` seconds, then ``probes`` requests
    at a time may try it."""

    failures: Annotated[int, Field(ge=1)] = 5
    window: Seconds = 30
    open_for: Seconds = 15
    probes: Annotated[int, Field(ge=1)] = 1


class PoolSettings(_Model):
    """Connections of one worker. ``keepalive`` is how long an idle one is kept, in seconds."""

    max_connections: Annotated[int, Field(ge=1)] = 1000
    max_keepalive: Annotated[int, Field(ge=0)] = 100
    keepalive: Seconds = 50
    http2: bool = False


class TLSSettings(_Model):
    """PEM text or ``file://`` references. ``ca`` replaces the system's authorities; ``cert`` and ``key`` are shown to
    the worker (mutual TLS)."""

    ca: Secret | None = None
    cert: Secret | None = None
    key: Secret | None = None
    verify: bool = True

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key go together: give both or neither")
        return self


class WorkerSettings(_Model):
    """One base URL of a target. ``weight`` is its share of the work beside the others', for policies that go by it."""

    url: HTTPAddress
    weight: Annotated[float, Field(gt=0, le=1_000_000)] = 1.0


class TargetSettings(_Model):
    """A named upstream.

    Attributes:
        provider: what kind of upstream it is; decides dialects, authentication and quirks.
        dialects: the dialects it speaks; by default those of the provider.
        allow: globs of the model names it may be asked for (upstream's names); empty means all.
        deny: globs of those it must not be asked for; stronger than ``allow``.
        models: caller's name -> upstream's name.
        balance: how the worker is chosen where there are several.
        balance_options: what the policy lets one choose, by name.
        max_tokens: output limit in tokens where the dialect needs one and the caller gave none.
        headers: sent with every request to it.
        forward_headers: globs of further caller's headers passed on to it when dialects match.
        stream_usage: whether it takes ``stream_options.include_usage``; by default what the provider is known for.
        hosted_tools: what to do with a tool that only another provider runs (a web search, say) when it is offered
            beside the caller's own: leave it out and say so in ``x-llm-warnings``, or refuse the request. Where it is
            the only tool, is asked for by ``tool_choice`` or was used before, the request is refused.
    """

    provider: ProviderName
    api_key: HeaderSecret | None = None
    base_url: HTTPAddress | None = None
    workers: tuple[WorkerSettings, ...] = ()
    dialects: tuple[DialectName, ...] = ()
    allow: tuple[Glob, ...] = ()
    deny: tuple[Glob, ...] = ()
    models: dict[str, str] = Field(default_factory=dict)
    max_tokens: Annotated[int, Field(ge=1)] = 4096
    balance: BalanceName = "round_robin"
    balance_options: dict[str, int | float | str] = Field(default_factory=dict)
    timeouts: TimeoutSettings = TimeoutSettings()
    retry: RetrySettings = RetrySettings()
    breaker: BreakerSettings = BreakerSettings()
    pool: PoolSettings = PoolSettings()
    tls: TLSSettings | None = None
    proxy: Secret | None = None
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict)
    forward_headers: tuple[Glob, ...] = ()
    stream_usage: bool | None = None
    hosted_tools: Literal["drop", "refuse"] = "drop"

    @model_validator(mode="after")
    def _addressed(self) -> Self:
        if self.base_url and self.workers:
            raise ValueError("give base_url or workers, not both")
        if not (self.base_url or self.workers or self.provider in BASE_URL_OPTIONAL):
            raise ValueError(f'provider "{self.provider}" needs a base_url or workers')
        urls = [worker.url for worker in self.workers]
        if len(set(urls)) != len(urls):
            raise ValueError("workers has the same url twice")
        return self

    @property
    def weights(self) -> tuple[float, ...]:
        """The weights of the workers at ``urls``."""
        return tuple(worker.weight for worker in self.workers) or (1.0,)

    @property
    def urls(self) -> tuple[str, ...]:
        """The workers' base URLs as given; empty when the provider's own address is meant."""
        if self.workers:
            return tuple(worker.url for worker in self.workers)
        return (self.base_url,) if self.base_url else ()


class RouteSettings(_Model):
    """Model names that match ``model`` go to ``target``; when it fails before the first byte, to the fallbacks."""

    model: Glob
    target: str
    fallback: tuple[str, ...] = ()


class KeySettings(_Model):
    """A key that callers may show. Give ``key`` or ``sha256`` (64 hexadecimal digits of the key's SHA-256)."""

    key: HeaderSecret | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")] | None = None
    subject: Annotated[str, Field(min_length=1)]
    tenant: Annotated[str, Field(min_length=1)] = "default"
    roles: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.key is None) == (self.sha256 is None):
            raise ValueError("give either key or sha256")
        return self


class AuthSettings(_Model):
    """Who may call, where the host application has not said so already."""

    anonymous: bool = False
    keys: tuple[KeySettings, ...] = ()


class StreamSettings(_Model):
    """``keepalive``: after how many seconds of silence something is sent to keep a stream open; 0 means never.
    ``on_disconnect``: stop the upstream when the caller leaves, or read on (at most ``drain_timeout`` seconds) so
    that its final usage is known."""

    keepalive: Seconds = 15
    on_disconnect: Literal["cancel", "drain"] = "cancel"
    drain_timeout: Seconds = 60


class LimitSettings(_Model):
    """``body`` and ``answer`` are bytes; ``shutdown_grace`` is seconds that running streams get at shutdown."""

    body: Annotated[int, Field(ge=1)] = 32 * 1024 * 1024
    answer: Annotated[int, Field(ge=1)] = 64 * 1024 * 1024
    shutdown_grace: Seconds = 30


def _default_prefixes() -> dict[str, str]:
    return {"openai": "/openai", "anthropic": "/anthropic"}


_Disabled = Literal[
    "chat_completions",
    "messages",
    "responses",
    "generate_content",
    "stream_generate_content",
    "messages_count_tokens",
    "responses_input_tokens",
    "count_tokens",
    "models",
    "health",
]


class EndpointSettings(_Model):
    """``prefixes`` are accepted before every path, besides the root. ``disable`` names endpoints not to be served."""

    prefixes: dict[str, Prefix] = Field(default_factory=_default_prefixes)
    disable: tuple[_Disabled, ...] = ()


def _plain_targets(value: dict[str, TargetSettings]) -> dict[str, Any]:
    return {name: target.model_dump() for name, target in value.items()}


class Settings(_Model):
    """All of it. ``Settings.load`` reads any source; the constructor is for settings nested in an application's own."""

    targets: Annotated[dict[Name, TargetSettings], Field(min_length=1), PlainSerializer(_plain_targets)]
    default_target: str | None = None
    routes: tuple[RouteSettings, ...] = ()
    auth: AuthSettings = AuthSettings()
    stream: StreamSettings = StreamSettings()
    limits: LimitSettings = LimitSettings()
    endpoints: EndpointSettings = EndpointSettings()

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
                problems += _problems(error)
        problems += _cross_check(tree)
        if problems or settings is None:
            raise ConfigError(problems)
        return settings


def literal_secrets(tree: Mapping[str, Any]) -> list[str]:
    """Paths of secrets written into ``tree`` (a dict as read from a file) instead of a reference to them."""
    return [
        path
        for path, value in _secret_fields(tree)
        if isinstance(value, str) and value and _REFERENCE.match(value) is None
    ]


def _secret_fields(tree: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, target in _items(tree.get("targets")):
        yield f"targets.{name}.api_key", target.get("api_key")
        if isinstance(tls := target.get("tls"), Mapping):
            yield f"targets.{name}.tls.key", tls.get("key")
    for index, key in enumerate(_maps(_member(tree.get("auth"), "keys"))):
        yield f"auth.keys[{index}].key", key.get("key")


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([Problem("", f"the file {path} cannot be read: {error.strerror}")]) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError([Problem("", f"the file {path} is not TOML: {error}")]) from None


def _problems(error: ValidationError) -> list[Problem]:
    # A pydantic message may quote the input, which may be a secret: only the message's own words are taken.
    items = error.errors(include_input=False, include_url=False)
    return [Problem(_path(item["loc"]), _words(item["type"], item["msg"])) for item in items]


def _path(loc: tuple[int | str, ...]) -> str:
    path = ""
    for part in loc:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part != "[key]":
            path += f".{part}" if path else part
    return path


def _words(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "is not a setting"
    if kind == "missing":
        return "is required"
    return message.removeprefix("Value error, ")


def _cross_check(tree: Mapping[str, Any]) -> list[Problem]:
    """What no single field can know: names that must exist. Works on a tree with mistakes in it, too."""
    targets = tree.get("targets")
    names = set(targets) if isinstance(targets, Mapping) else set()
    return [
        Problem(path, f'there is no target "{name}"' + (f"; there are: {', '.join(sorted(names))}" if names else ""))
        for path, name in _references(tree)
        if isinstance(name, str) and name not in names
    ]


def _references(tree: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if tree.get("default_target") is not None:
        yield "default_target", tree["default_target"]
    for index, route in enumerate(_maps(tree.get("routes"))):
        yield f"routes[{index}].target", route.get("target")
        legs = route.get("fallback")
        for position, name in enumerate(legs if isinstance(legs, list | tuple) else ()):
            yield f"routes[{index}].fallback[{position}]", name


def _items(value: Any) -> list[tuple[str, Mapping[str, Any]]]:
    if not isinstance(value, Mapping):
        return []
    return [(str(name), item) for name, item in value.items() if isinstance(item, Mapping)]


def _maps(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list | tuple) else []


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None
