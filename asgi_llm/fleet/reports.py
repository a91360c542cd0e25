"""What engines say of their own load, for the policy that goes by it.

vLLM tells it among its Prometheus metrics, by engine; SGLang as JSON, by data-parallel rank. What cannot be read is no
report, and its worker is judged by the requests it works on.
"""

import asyncio
import random
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from asgi_llm.errors import UpstreamError
from asgi_llm.routing.balance.least_load import LeastLoad, Report

from .control import ask
from .station import Station

__all__ = ["keep_asking", "read_sglang", "read_vllm", "take_report"]

Reports = Mapping[int, Report]
"""By rank; where there are no ranks there is only 0."""

_SECONDS = 5.0
"""For one question."""
_WAITING = 1024
"""Tokens that a waiting request counts where its length is not told."""

_METRIC = re.compile(
    rb"^vllm:(num_requests_waiting|kv_cache_usage_perc|gpu_cache_usage_perc)(?:\{([^}\n]*)\})?[ \t]+(\S+)", re.MULTILINE
)
_ENGINE = re.compile(rb'(?:^|,)\s*engine="(\d+)"')


async def keep_asking(policy: LeastLoad, station: Station, interval: float) -> None:
    """Asks until cancelled; the first time within one ``interval`` (seconds), spread."""
    await asyncio.sleep(interval * random.random())  # noqa: S311  # spreads load, keeps no secret
    while True:
        await take_report(policy, station)
        await asyncio.sleep(interval)


async def take_report(policy: LeastLoad, station: Station) -> None:
    """One question, and the policy is told the answer. Raises nothing."""
    provider = station.target.provider
    read = _READERS[provider.load_format or "vllm"]
    found: Reports = {}
    for path in provider.load_paths:
        try:
            status, body = await ask(station, path, _SECONDS)
        except UpstreamError:
            break
        if status == 200:
            found = read(body)
            break
    for worker in station.workers:
        policy.reported(worker, found.get(worker.rank or 0))


def read_vllm(body: bytes) -> Reports:
    """Out of Prometheus' text format."""
    waiting: dict[int, float] = {}
    used: dict[int, float] = {}
    for name, labels, value in _METRIC.findall(body):
        engine = _ENGINE.search(labels)
        rank = int(engine.group(1)[:6]) if engine is not None else 0
        try:
            number = float(value)
        except ValueError:
            continue
        if not 0 <= number < float("inf"):
            continue
        (waiting if name == b"num_requests_waiting" else used)[rank] = number
    return {
        rank: Report(queued=int(count) * _WAITING, used=min(used.get(rank, 0.0), 1.0))
        for rank, count in waiting.items()
    }


class _Load(msgspec.Struct):
    dp_rank: int = 0
    num_waiting_reqs: int = 0
    num_waiting_uncached_tokens: int | None = None
    token_usage: float = 0.0


class _Loads(msgspec.Struct):
    loads: list[_Load]


_loads: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_Loads | list[_Load])


def read_sglang(body: bytes) -> Reports:
    """Out of the answer of ``/v1/loads``, or of ``/get_load`` as older versions have it."""
    try:
        told = _loads.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return {load.dp_rank: _report(load) for load in (told.loads if isinstance(told, _Loads) else told)}


def _report(load: _Load) -> Report:
    queued = load.num_waiting_uncached_tokens
    if queued is None:
        queued = load.num_waiting_reqs * _WAITING
    return Report(queued=max(queued, 0), used=min(max(load.token_usage, 0.0), 1.0))


_READERS: dict[str, Callable[[bytes], Reports]] = {"vllm": read_vllm, "sglang": read_sglang}
