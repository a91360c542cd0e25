"""Settings of a target: what it is, how its workers are reached and chosen, what is tried when one fails."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from asgi_llm.neutral.request import DialectName

from .health import HealthSettings
from .values import Glob, HeaderName, HeaderSecret, HeaderValue, HTTPAddress, Model, Seconds, Secret, one_of

__all__ = [
    "BASE_URL_OPTIONAL", "BreakerSettings", "HedgeSettings", "PoolSettings", "ProviderName", "RetrySettings",
    "TLSSettings", "TargetSettings", "TimeoutSettings", "WorkerSettings", "wrong_workers",
]  # fmt: skip

EndpointPath = Annotated[str, Field(pattern=r"^(/[A-Za-z0-9{}_.:/-]*)?$")]
_Option = Annotated[int | float | str, one_of("must be a number or a text")]
ProviderName = Literal[
    "anthropic", "azure", "deepseek", "echo", "gemini", "gemini_chat", "glm", "groq", "kimi", "llama_cpp", "minimax",
    "mistral", "ollama", "openai", "openai_compatible", "openrouter", "qwen", "sglang", "vllm", "xai",
]  # fmt: skip
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
BASE_URL_OPTIONAL = frozenset(
    {"anthropic", "deepseek", "echo", "gemini", "gemini_chat", "glm", "groq", "kimi", "minimax", "mistral", "ollama",
     "openai", "openrouter", "qwen", "xai"}
)  # fmt: skip
"""Providers with an address of their own; all others must be told one."""


class TimeoutSettings(Model):
    """In seconds; 0 means none. ``first_byte`` is for streams, ``answer`` for the head of an answer that is not
    streamed, which comes when everything has been said."""

    connect: Seconds = 5
    first_byte: Seconds = 120
    answer: Seconds = 600
    idle: Seconds = 120
    total: Seconds = 0


class RetrySettings(Model):
    """Before the first forwarded byte only.

    Attributes:
        attempts: most attempts at this target for one request, the first one included.
        base, factor, cap: the wait before attempt n is ``base * factor ** (n - 2)`` seconds, at most ``cap``. Where an
            upstream says how long to wait and there is nobody else to ask, that is waited for, unless it is longer
            than ``cap``.
        jitter: the share of the wait that is left to chance.
        budget: how many retries there may be for each request, on average over all of them; beyond this are ten a
            second, and a hundred at once. 0 means no retries.
        cooldown: most seconds for which a worker or key is passed over because it said for how long it wants to be.
    """

    attempts: Annotated[int, Field(ge=1, le=20)] = 3
    base: Seconds = 0.05
    factor: Annotated[float, Field(ge=1, le=10)] = 1.5
    cap: Seconds = 5
    jitter: Annotated[float, Field(ge=0, le=1)] = 1
    budget: Annotated[float, Field(ge=0, le=20)] = 0.2
    cooldown: Seconds = 60


class HedgeSettings(Model):
    """A second attempt beside the first, at another worker, when the first is slow to begin its answer. Whichever
    begins first serves the request, the other is broken off. It costs work, and counts as a retry.

    Attributes:
        after: seconds after which the second attempt is made.
        percentile: after as long as so many of a hundred recent answers took to begin, once there are twenty; until
            then ``after`` says, if it does.
    """

    after: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    percentile: Annotated[float, Field(ge=50, lt=100)] | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.after is None and self.percentile is None:
            raise ValueError("give after or percentile")
        return self


class BreakerSettings(Model):
    """``failures`` within ``window`` seconds pass a worker over for ``open_for`` seconds, then ``probes`` requests
    at a time may try it."""

    failures: Annotated[int, Field(ge=1)] = 5
    window: Seconds = 30
    open_for: Seconds = 15
    probes: Annotated[int, Field(ge=1)] = 1


class PoolSettings(Model):
    """Connections of one worker. ``keepalive`` is how long an idle one is kept, in seconds."""

    max_connections: Annotated[int, Field(ge=1)] = 1000
    max_keepalive: Annotated[int, Field(ge=0)] = 100
    keepalive: Seconds = 50
    http2: bool = False


class TLSSettings(Model):
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


class WorkerSettings(Model):
    """One base URL of a target. What is not given here is the target's.

    Attributes:
        weight: its share of the work beside the others', for policies that go by it.
        headers: sent with every request to it, besides the target's and instead of those of the same name.
        timeouts, pool, tls: only what differs from the target's.
        models: the models it has (its own names); by default it is asked, where ``discover`` says so, else it has all.
        dp_size: data-parallel ranks behind this one address (vLLM, SGLang): each is chosen by itself.
        role: ``prefill`` and ``decode`` workers serve a request together, one of each.
        bootstrap_port: where a prefill worker of SGLang is met by the decode workers.
    """

    url: HTTPAddress
    weight: Annotated[float, Field(gt=0, le=1_000_000)] = 1.0
    api_key: HeaderSecret | None = None
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict)
    timeouts: TimeoutSettings = Field(default_factory=TimeoutSettings)
    pool: PoolSettings = Field(default_factory=PoolSettings)
    tls: TLSSettings = Field(default_factory=TLSSettings)
    proxy: Secret | None = None
    models: tuple[str, ...] = ()
    dp_size: Annotated[int, Field(ge=1, le=1024)] = 1
    role: Literal["regular", "prefill", "decode"] = "regular"
    bootstrap_port: Annotated[int, Field(ge=1, le=65535)] | None = None


def wrong_workers(provider: ProviderName, workers: Sequence[WorkerSettings]) -> str | None:
    """Why ``workers`` make no fleet together; None where they do."""
    roles = {worker.role for worker in workers}
    engine = provider in ("sglang", "vllm")
    if not engine and (roles - {"regular"} or any(worker.dp_size > 1 for worker in workers)):
        return f'provider "{provider}" has no dp_size and no roles: they are for vllm and sglang'
    if roles - {"regular"} and roles != {"prefill", "decode"}:
        return "workers with the roles prefill and decode go together: at least one of each, and no others"
    if provider == "sglang" and any(worker.role == "prefill" and not worker.bootstrap_port for worker in workers):
        return "a prefill worker of sglang needs its bootstrap_port"
    return None


class TargetSettings(Model):
    """A named upstream.

    Attributes:
        api_key: its key. ``api_keys`` are several instead, used by turns; one that is at its limit, or refused, is
            passed over for a while.
        concurrency: most requests that it works on at a time, until the end of their answers; others wait as
            ``limits`` has it. 0 means no limit.
        provider: what kind of upstream it is; decides dialects, authentication and quirks.
        dialects: the dialects it speaks; by default those of the provider.
        allow: globs of the model names it may be asked for (upstream's names); empty means all.
        deny: globs of those it must not be asked for; stronger than ``allow``.
        models: caller's name -> upstream's name.
        balance: how the worker is chosen where there are several.
        balance_options: what the policy lets one choose, by name.
        max_tokens: output limit in tokens where the dialect needs one and the caller gave none.
        context_windows: globs of its own model names -> tokens that such a model can take, question and answer
            together. Conversations that may be truncated are cut before it is asked; without, when it refuses.
        headers: sent with every request to it.
        forward_headers: globs of further caller's headers passed on to it when dialects match.
        stream_usage: whether it takes ``stream_options.include_usage``; by default what the provider is known for.
        health: how its workers are probed; by default engines that one runs oneself are, where there are several.
        discover: whether workers are asked which models they have, so that only those that have a model are sent
            requests for it; by default only where there are several, of a kind that refuses other names.
        report_interval: seconds between two questions to vLLM and SGLang workers about their load, for the policy
            ``least_load``; 0 means never.
        hide_cost: whether what it says of money (``usage.cost`` and its kin) is kept from callers.
        hosted_tools: what to do with a tool that only another provider runs (a web search, say) when it is offered
            beside the caller's own: leave it out and say so in ``x-llm-warnings``, or refuse the request. Where it is
            the only tool, is asked for by ``tool_choice`` or was used before, the request is refused.
        endpoints: further endpoints that it serves, by name, with the path behind the base URL at which it does
            (``/../rerank`` stands beside the last segment of the base URL); "" for one that it does not serve.
    """

    provider: ProviderName
    api_key: HeaderSecret | None = None
    api_keys: tuple[HeaderSecret, ...] = ()
    base_url: HTTPAddress | None = None
    workers: tuple[WorkerSettings, ...] = ()
    dialects: tuple[DialectName, ...] = ()
    allow: tuple[Glob, ...] = ()
    deny: tuple[Glob, ...] = ()
    models: dict[str, str] = Field(default_factory=dict)
    max_tokens: Annotated[int, Field(ge=1)] = 4096
    balance: BalanceName = "round_robin"
    balance_options: dict[str, _Option] = Field(default_factory=dict)
    timeouts: TimeoutSettings = Field(default_factory=TimeoutSettings)
    retry: RetrySettings = Field(default_factory=RetrySettings)
    breaker: BreakerSettings = Field(default_factory=BreakerSettings)
    hedge: HedgeSettings | None = None
    concurrency: Annotated[int, Field(ge=0)] = 0
    pool: PoolSettings = Field(default_factory=PoolSettings)
    tls: TLSSettings | None = None
    proxy: Secret | None = None
    context_windows: dict[Glob, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict)
    forward_headers: tuple[Glob, ...] = ()
    stream_usage: bool | None = None
    health: HealthSettings | None = None
    discover: bool | None = None
    report_interval: Seconds = 10
    hosted_tools: Literal["drop", "refuse"] = "drop"
    hide_cost: bool = False
    endpoints: dict[str, EndpointPath] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _addressed(self) -> Self:
        if self.base_url and self.workers:
            raise ValueError("give base_url or workers, not both")
        if not (self.base_url or self.workers or self.provider in BASE_URL_OPTIONAL):
            raise ValueError(f'provider "{self.provider}" needs a base_url or workers')
        urls = [worker.url for worker in self.workers]
        if len(set(urls)) != len(urls):
            raise ValueError("workers has the same url twice")
        if said := wrong_workers(self.provider, self.workers):
            raise ValueError(said)
        return self

    @model_validator(mode="after")
    def _keyed(self) -> Self:
        if self.api_key is not None and self.api_keys:
            raise ValueError("give api_key or api_keys, not both")
        keys = [key.get_secret_value() for key in self.api_keys]
        if len(set(keys)) != len(keys):
            raise ValueError("api_keys has the same key twice")
        return self
