"""A worker as configured: everything prepared that does not depend on the request or the loop.

What a worker's own settings leave open is its target's. Nothing here does I/O but reading TLS material.
"""

import ssl
from dataclasses import dataclass
from typing import TypeVar

from pydantic import SecretStr

from asgi_llm.errors import ConfigError, Problem
from asgi_llm.providers.provider import Provider
from asgi_llm.settings import PoolSettings, TargetSettings, TimeoutSettings, TLSSettings, WorkerSettings
from asgi_llm.types import Headers
from asgi_llm.upstream.interface import ClientOptions, Timeouts
from asgi_llm.upstream.proxy import check_options
from asgi_llm.upstream.tls import client_context

__all__ = ["Member", "compile_member", "compile_timeouts", "members_of"]

Group = TypeVar("Group", TimeoutSettings, PoolSettings, TLSSettings)
Contexts = dict[TLSSettings, ssl.SSLContext]
"""TLS contexts by what they were made of: making one is slow, and workers commonly share it."""


@dataclass(frozen=True, slots=True)
class Member:
    """A worker, or several ranks behind one address.

    Attributes:
        settings: as configured.
        options: how it is talked to.
        own_headers: what it is sent besides its target's headers, or instead of those of the same name.
        own_timeouts: the target's timeouts for streams and for whole answers -> its own; empty where they are equal.
    """

    settings: WorkerSettings
    options: ClientOptions
    own_headers: Headers
    own_timeouts: dict[Timeouts, Timeouts]

    @property
    def key(self) -> str:
        """Who it is, the same in every process: its base URL."""
        return self.options.base_url


def members_of(name: str, item: TargetSettings, provider: Provider) -> tuple[Member, ...]:
    """All workers of the target called ``name``.

    Raises:
        ConfigError: with the path of all that cannot work.
    """
    contexts: Contexts = {}
    problems: list[Problem] = []
    members = []
    alone = WorkerSettings.model_construct(url=item.base_url or provider.base_url or "")
    for index, worker in enumerate(item.workers or (alone,)):
        try:
            members.append(compile_member(item, provider, worker, contexts))
        except ConfigError as error:
            own = f"targets.{name}.workers[{index}]"
            problems += [
                Problem(f"{own if _says(worker, problem.path) else f'targets.{name}'}.{problem.path}", problem.message)
                for problem in error.problems
            ]
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return tuple(members)


def compile_member(
    item: TargetSettings, provider: Provider, worker: WorkerSettings, contexts: Contexts | None = None
) -> Member:
    """``worker`` as one of the target with the settings ``item``.

    Raises:
        ConfigError: TLS material that cannot be used, a proxy that cannot be one, a package that is missing; with the
            path of each below the worker.
    """
    waits = _laid_over(item.timeouts, worker.timeouts)
    streams, answers = compile_timeouts(waits)
    own = dict(zip(compile_timeouts(item.timeouts), (streams, answers), strict=True))
    return Member(
        settings=worker,
        options=_options(item, provider, worker, streams, {} if contexts is None else contexts),
        own_headers=_headers(provider, worker),
        own_timeouts=own if waits != item.timeouts else {},
    )


def compile_timeouts(waits: TimeoutSettings) -> tuple[Timeouts, Timeouts]:
    """For streams, and for answers that come whole."""
    shared = {"connect": waits.connect, "idle": waits.idle, "total": waits.total}
    return Timeouts(first_byte=waits.first_byte, **shared), Timeouts(first_byte=waits.answer, **shared)


def _options(
    item: TargetSettings, provider: Provider, worker: WorkerSettings, timeouts: Timeouts, contexts: Contexts
) -> ClientOptions:
    pool = _laid_over(item.pool, worker.pool)
    options = ClientOptions(
        base_url=provider.rebase(worker.url) if worker.url != provider.base_url else worker.url,
        timeouts=timeouts,
        max_connections=pool.max_connections,
        max_keepalive=pool.max_keepalive,
        keepalive=pool.keepalive,
        tls=_context(item, worker, contexts),
        proxy=_reveal(worker.proxy or item.proxy),
        http2=pool.http2,
    )
    try:
        check_options(options)
    except ValueError as error:
        raise ConfigError([Problem("pool.http2" if "HTTP/2" in str(error) else "proxy", str(error))]) from None
    return options


def _context(item: TargetSettings, worker: WorkerSettings, contexts: Contexts) -> ssl.SSLContext | None:
    tls = worker.tls if item.tls is None else _laid_over(item.tls, worker.tls)
    if item.tls is None and not worker.tls.model_fields_set:
        return None
    if tls not in contexts:
        try:
            contexts[tls] = client_context(_reveal(tls.ca), _reveal(tls.cert), _reveal(tls.key), verify=tls.verify)
        except ValueError as error:
            raise ConfigError([Problem("tls", str(error))]) from None
    return contexts[tls]


def _headers(provider: Provider, worker: WorkerSettings) -> Headers:
    headers = [] if worker.api_key is None else provider.credentials(worker.api_key.get_secret_value())
    named = [
        (name.lower().encode("latin-1"), value.get_secret_value().encode("latin-1"))
        for name, value in worker.headers.items()
    ]
    return [*headers, *named]


def _laid_over(target: Group, worker: Group) -> Group:
    """The target's, with what the worker says itself."""
    said = {name: getattr(worker, name) for name in worker.model_fields_set}
    return target.model_copy(update=said) if said else target


def _says(worker: WorkerSettings, path: str) -> bool:
    """Whether ``path`` is of the worker's own settings and not of its target's."""
    return path.partition(".")[0] in worker.model_fields_set


def _reveal(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
