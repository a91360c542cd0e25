"""The endpoint that tells callers what they have used.

    GET /v1/usage                                    everything of mine, in one sum
    GET /v1/usage?by=day,model&since=2026-11-01      by day and model, in order
    GET /v1/usage?view=rows&limit=50                 single requests, the latest first; ``next`` leads on
    GET /v1/usage?scope=tenant&by=subject            of my whole tenant, for the roles in ``[ledger] readers``

Whose usage it is comes from the identity alone; nothing in the query can name another user but within the tenant that
somebody may read anyway.
"""

from typing import Any
from urllib.parse import parse_qs

from msgspec import structs

from asgi_llm.errors import ClientError, Kind, PolicyError
from asgi_llm.identity import Identity
from asgi_llm.pipeline.admit import identify
from asgi_llm.runtime import Runtime
from asgi_llm.stores.ledger import DIMENSIONS, Cursor, Dimension, Ledger, Query, Sum, milliseconds
from asgi_llm.stores.owner import Owner

from .caller import ASGICaller

__all__ = ["answer_usage"]

_MOST = 1000
_FILTERS = ("model", "served", "target", "key_id", "outcome", "subject")
_KNOWN = frozenset({"view", "scope", "by", "since", "until", "limit", "offset", "after", *_FILTERS})


async def answer_usage(runtime: Runtime, caller: ASGICaller) -> dict[str, Any]:
    """The answer's JSON.

    Raises:
        ClientError: a question that makes no sense, or no ledger is kept.
        PolicyError: not known, or may not see the whole tenant.
        StoreError: the ledger cannot be read now.
    """
    identity = await identify(runtime, caller)
    if runtime.ledger is None:
        raise ClientError("no ledger is kept here", code="no_ledger", kind=Kind.NOT_FOUND)
    asked = _asked(caller.scope["query_string"])
    owner = _owner(runtime, identity, asked.get("scope", "own"))
    query = Query(
        since=_time(asked, "since"),
        until=_time(asked, "until"),
        **{name: asked[name] for name in _FILTERS if name in asked},
    )
    limit = _number(asked, "limit", 100, most=_MOST)
    shown = {"tenant": owner.tenant} | ({} if owner.subject is None else {"subject": owner.subject})
    head = {"object": "list", "scope": shown}
    ledger = runtime.ledger.ledger
    match asked.get("view", "sums"):
        case "rows":
            return head | await _rows(ledger, owner, query, limit, asked)
        case "sums":
            by, offset = _dimensions(asked.get("by", "")), _number(asked, "offset", 0, most=10**9)
            return head | {
                "data": [_told(item) for item in await ledger.sums(owner, by, query, limit=limit, offset=offset)]
            }
    raise _bad("view", "must be sums or rows")


async def _rows(ledger: Ledger, owner: Owner, query: Query, limit: int, asked: dict[str, str]) -> dict[str, Any]:
    rows = await ledger.rows(owner, query, limit=limit, after=_cursor(asked))
    # Where a request went is not the caller's business.
    data = [{name: value for name, value in row.told().items() if name != "worker"} for row in rows]
    return {"data": data, "next": f"{rows[-1].at}-{rows[-1].id}" if len(rows) == limit else None}


def _told(item: Sum) -> dict[str, Any]:
    """A sum as JSON: its group first."""
    fields = structs.asdict(item)
    group: dict[str, Any] = fields.pop("group")
    return group | fields | {"input": item.input, "output": item.output}


def _asked(query: bytes) -> dict[str, str]:
    try:
        found = parse_qs(query.decode("ascii"), keep_blank_values=True, max_num_fields=50, errors="strict")
    except ValueError:
        raise _bad("query", "cannot be read") from None
    for name, values in found.items():
        if name not in _KNOWN and name != "key":
            raise _bad(name, f"is not known; there are: {', '.join(sorted(_KNOWN))}")
        if len(values) > 1:
            raise _bad(name, "is given twice")
        if "\0" in values[0]:
            raise _bad(name, "cannot be")
    return {name: values[0] for name, values in found.items()}


def _owner(runtime: Runtime, identity: Identity, scope: str) -> Owner:
    if scope == "own":
        return Owner.of(identity)
    if scope != "tenant":
        raise _bad("scope", "must be own or tenant")
    settings = runtime.blueprint.settings.ledger
    readers = settings.readers if settings is not None else ()
    if identity.source == "anonymous" or set(readers).isdisjoint(identity.roles):
        raise PolicyError(
            "the usage of the whole tenant is not shown to this caller",
            kind=Kind.PERMISSION,
            code="usage_not_permitted",
        )
    return Owner(identity.tenant)


def _dimensions(text: str) -> tuple[Dimension, ...]:
    names = [name for name in text.split(",") if name]
    found = tuple(name for name in DIMENSIONS if name in names)
    if len(found) != len(names):
        raise _bad("by", f"must be different ones of: {', '.join(DIMENSIONS)}")
    return tuple(sorted(found, key=names.index))


def _time(asked: dict[str, str], name: str) -> int | None:
    if (text := asked.get(name)) is None:
        return None
    try:
        return milliseconds(text)
    except ValueError:
        raise _bad(name, "must be a day or a time, as 2026-11-21 or 2026-11-21T08:30:00Z") from None


def _number(asked: dict[str, str], name: str, default: int, *, most: int) -> int:
    text = asked.get(name)
    if text is None:
        return default
    if not (
        text.isascii() and text.isdigit() and len(text) < 12 and (name == "offset" or int(text)) and int(text) <= most
    ):
        raise _bad(name, f"must be a number up to {most}")
    return int(text)


def _cursor(asked: dict[str, str]) -> Cursor | None:
    if (text := asked.get("after")) is None:
        return None
    at, _, name = text.partition("-")
    if not (at.isascii() and at.isdigit() and len(at) < 16 and name):
        raise _bad("after", "must be what next said")
    return int(at), name


def _bad(param: str, message: str) -> ClientError:
    return ClientError(f"{param[:100]} {message}", code="invalid_query", param=param[:100])
