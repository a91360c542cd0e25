"""Which targets serve an endpoint that is forwarded, and for whom: what a plan asks beside what it asks of any call."""

from asgi_llm.dialects.forwarded import Forwarded
from asgi_llm.errors import ClientError, Kind, PolicyError
from asgi_llm.exchange import Forward
from asgi_llm.fleet.target import Target
from asgi_llm.runtime import Blueprint

__all__ = ["names_model", "not_served", "pinned_target", "serves"]


def pinned_target(forward: Forward, named: str | None) -> str | None:
    """The target that an id leads to, or else the one that the host named.

    Raises:
        ClientError: the host named another one than the id.
    """
    if forward.pin is None:
        return named
    if named is not None and named != forward.pin.target:
        raise ClientError("there is no such thing at this target", code="not_found", param="id", kind=Kind.NOT_FOUND)
    return forward.pin.target


def serves(blueprint: Blueprint, target: Target, forwarded: Forwarded) -> bool:
    """Whether ``target`` has the endpoint. Where it keeps something, its ids must be signed, and one worker must be
    where all of it is."""
    if forwarded.name not in target.endpoints:
        return False
    return forwarded.pin is None or (blueprint.pins.signs(target.name) and len(target.members) == 1)


def names_model(target: Target, forwarded: Forwarded, model: str) -> bool:
    """Whether the request names a model that the catalog can be asked about. One that names none, or hides many in a
    file, must not get round it.

    Raises:
        ClientError: it should have.
        PolicyError: it cannot, and that is not permitted here.
    """
    if forwarded.model != "none" and model:
        return True
    if not (target.settings.allow or target.settings.deny):
        return False
    if forwarded.model == "optional":
        raise ClientError("model is missing; this target permits certain models", code="model_required", param="model")
    if forwarded.name == "batches":
        raise PolicyError(
            "batches are not permitted here, since the models in them could not be looked at",
            kind=Kind.PERMISSION,
            code="batches_not_permitted",
        )
    return False


def not_served(target: str, forwarded: Forwarded) -> ClientError:
    """No target of a route has the endpoint; ``target`` is the first of them."""
    return ClientError(
        f'the target "{target}" does not serve {forwarded.path}', code="endpoint_not_supported", kind=Kind.NOT_FOUND
    )
