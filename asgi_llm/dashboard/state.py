"""What the page shows, as JSON: of this process, and where there is a ledger, of all of them together."""

import time
from typing import Any

from asgi_llm.errors import StoreError
from asgi_llm.fleet.standing import standing
from asgi_llm.runtime import Runtime
from asgi_llm.stores.ledger import DAY, Query
from asgi_llm.stores.owner import ANYBODY
from asgi_llm.telemetry.record import ExchangeRecord
from asgi_llm.telemetry.version import scope_version

__all__ = ["state"]

_DAYS = 14


async def state(runtime: Runtime, *, days: bool) -> dict[str, Any]:
    """``days``: what was used on each of the last days as well, which takes a look into the ledger."""
    telemetry = runtime.telemetry
    requests, failed, tokens_in, tokens_out = telemetry.meters.totals if telemetry is not None else (0, 0, 0, 0)
    errors = list(telemetry.meters.recent) if telemetry is not None else []
    found: dict[str, Any] = {
        "version": scope_version(),
        "now": time.time(),
        "active": runtime.active,
        "totals": {"requests": requests, "failed": failed, "input": tokens_in, "output": tokens_out},
        "targets": _targets(runtime),
        "errors": [_error(record) for record in reversed(errors)],
        "ledger": _ledger(runtime),
    }
    if days:
        found["days"] = await _days(runtime)
    return found


def _targets(runtime: Runtime) -> list[dict[str, Any]]:
    now = runtime.fleet.clock()
    found = []
    for crew in runtime.fleet.crews.values():
        one = standing(crew, now)
        workers = [
            {
                "name": worker.name,
                "state": worker.state,
                "breaker": worker.breaker,
                "load": worker.load,
                "cooling": max(worker.cooling.values(), default=0),
            }
            for worker in one.workers
        ]
        known = {"name": one.target, "provider": crew.target.provider.name, "workers": workers}
        found.append(known | {"waiting": one.waiting, "inside": one.inside})
    return found


def _error(record: ExchangeRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "at": record.at,
        "endpoint": record.endpoint,
        "model": record.model,
        "target": record.target,
        "status": record.status,
        "outcome": record.outcome,
        "code": record.error,
    }


def _ledger(runtime: Runtime) -> dict[str, Any] | None:
    ledger = runtime.ledger
    return None if ledger is None else {"queue": len(ledger), "dropped": ledger.dropped, "failing": ledger.failing}


async def _days(runtime: Runtime) -> list[dict[str, Any]] | None:
    """None where no ledger is kept, or it cannot be read now."""
    if runtime.ledger is None:
        return None
    today = int(time.time() * 1000) // DAY * DAY
    try:
        sums = await runtime.ledger.ledger.sums(ANYBODY, ("day",), Query(since=today - (_DAYS - 1) * DAY))
    except StoreError:
        return None
    return [
        {
            "day": one.group["day"],
            "requests": one.requests,
            "failed": one.failed,
            "input": one.input,
            "output": one.output,
            "cost": one.cost,
            "unpriced": one.unpriced,
        }
        for one in sums
    ]
