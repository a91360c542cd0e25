"""Between plan and attempt: may this caller use that, on this leg and on every fallback; whose credentials are shown
there; how long may the answer be. Runs only where there are rules, or the caller brought keys of its own.
"""

import hashlib

from msgspec import structs

from asgi_llm.dialects.interface import Dialect
from asgi_llm.dialects.users import named_users, overwrite_users, remove_users
from asgi_llm.errors import Kind, PolicyError
from asgi_llm.exchange import Exchange
from asgi_llm.fleet.listing import Model
from asgi_llm.identity import Identity
from asgi_llm.routing.access import Access, Wish, within
from asgi_llm.routing.features import features_of
from asgi_llm.runtime import Runtime
from asgi_llm.settings import AccessSettings

from .plan import Leg

__all__ = ["bring_keys", "check_endpoint", "enforce", "permitted", "pseudonym", "with_credentials"]

Fixed = tuple[tuple[bytes, bytes], ...]


def enforce(runtime: Runtime, exchange: Exchange) -> None:
    """Leaves in the plan what the caller may use, with its limits; and sees to the users that the body names.

    Raises:
        PolicyError: the first leg is not for this caller (final, as with catalogs), or the body names another user.
        ClientError: the request must be understood to be judged, and is not what its dialect says.
    """
    assert exchange.plan is not None  # noqa: S101  # the steps before filled in both
    assert exchange.envelope is not None  # noqa: S101
    access, identity = runtime.blueprint.access or _OPEN, exchange.identity
    if access.users != "pass":
        _see_to_users(access.users, exchange)
    features = _features(exchange) if access.reads else frozenset({"stream"} if exchange.stream else ())
    roles, model = identity.roles, exchange.envelope.model
    legs: list[Leg] = []
    for position, leg in enumerate(exchange.plan.legs):
        target, names = leg.crew.target.name, (model, leg.model)
        wish = Wish(exchange.endpoint, exchange.dialect.name, names, target, features)
        if access.permits(roles, wish) and within(identity.scopes, wish):
            cap = access.cap(roles, names, target)
            legs.append(leg if cap is None else structs.replace(leg, cap=cap, passes=False, passes_plain=False))
        elif position == 0:
            raise PolicyError(
                f'you may not use {exchange.endpoint} with model "{model[:200]}" in this way',
                kind=Kind.PERMISSION,
                code="not_permitted",
            )
    exchange.plan = structs.replace(exchange.plan, legs=tuple(legs))


def bring_keys(exchange: Exchange) -> None:
    """The caller's own keys for the targets that it has some for, in place of the gateway's."""
    plan, keys = exchange.plan, exchange.identity.upstream_keys or {}
    assert plan is not None  # noqa: S101  # make_plan() filled it in
    legs = (
        structs.replace(leg, credentials=tuple(target.provider.credentials(keys[target.name])))
        if (target := leg.crew.target).name in keys
        else leg
        for leg in plan.legs
    )
    exchange.plan = structs.replace(plan, legs=tuple(legs))


def permitted(runtime: Runtime, identity: Identity, dialect: Dialect, models: list[Model]) -> list[Model]:
    """Those of ``models`` that the caller is told of.

    Raises:
        PolicyError: the list is not for this caller.
    """
    check_endpoint(runtime, identity, "models", dialect)
    access, scopes = runtime.blueprint.access or _OPEN, identity.scopes
    if access is _OPEN and not scopes:
        return models
    wishes = (_listed(runtime, model) for model in models)
    return [
        model
        for model, wish in zip(models, wishes, strict=True)
        if access.lists(identity.roles, wish) and within(scopes, wish, besides=("endpoints",))
    ]


def check_endpoint(runtime: Runtime, identity: Identity, endpoint: str, dialect: Dialect) -> None:
    """For endpoints that call no model.

    Raises:
        PolicyError: it is not for this caller.
    """
    access, wish = runtime.blueprint.access or _OPEN, Wish(endpoint, dialect.name, (), "")
    allowed = within(identity.scopes, wish, besides=("models", "targets"))
    if not (allowed and access.permits(identity.roles, wish)):
        raise PolicyError(f"you may not use {endpoint}", kind=Kind.PERMISSION, code="not_permitted")


def _listed(runtime: Runtime, model: Model) -> Wish:
    target = runtime.blueprint.targets.get(model.target)
    upstream = model.id if target is None else target.upstream_model(model.id)
    return Wish("", "", (model.id, upstream), model.target)


_OPEN = Access(AccessSettings())
"""Rules that forbid nothing."""


def with_credentials(fixed: Fixed, credentials: Fixed) -> Fixed:
    """``fixed`` headers with the caller's own credentials in place of any others."""
    names = _CREDENTIALS | {name for name, _ in credentials}
    return (*(pair for pair in fixed if pair[0] not in names), *credentials)


_CREDENTIALS = frozenset({b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"})


def _features(exchange: Exchange) -> frozenset[str]:
    if exchange.forward is not None:
        return frozenset({"stream"} if exchange.stream else ())
    request = exchange.request
    if request is None:
        # Not kept: what is sent is decoded where it is known how.
        request = exchange.dialect.decode_request(exchange.body)
    found = features_of(request)
    return found | {"stream"} if exchange.stream else found


def _see_to_users(policy: str, exchange: Exchange) -> None:
    dialect, identity = exchange.dialect.name, exchange.identity
    if policy == "remove":
        exchange.body = remove_users(dialect, exchange.body)
    elif policy == "overwrite":
        exchange.body = overwrite_users(dialect, exchange.body, pseudonym(identity))
    else:
        own = (identity.subject, pseudonym(identity))
        for path, value in named_users(dialect, exchange.body):
            if value not in own:
                raise PolicyError(
                    f"{path} names another user than the one who calls",
                    kind=Kind.PERMISSION,
                    code="user_mismatch",
                    param=path,
                )


def pseudonym(identity: Identity) -> str:
    """Who calls, in a form that tells the provider nobody's name, and tells the same caller again."""
    digest = hashlib.sha256(f"{identity.tenant}\n{identity.subject}".encode()).hexdigest()
    return f"user_{digest[:32]}"
