"""First step: who calls, is the body sound, which model does it ask for."""

from urllib.parse import parse_qs

from asgi_llm.dialects.peek import peek, peek_contents
from asgi_llm.errors import ClientError, Kind, PolicyError
from asgi_llm.exchange import Caller, Exchange
from asgi_llm.identity import ANONYMOUS, IDENTITY_KEY, Identity
from asgi_llm.runtime import Runtime
from asgi_llm.stores.keys import Shown

from .forward import read_request

__all__ = ["admit", "identify"]


async def admit(runtime: Runtime, exchange: Exchange, caller: Caller) -> None:
    """Fills in identity, body and envelope.

    Raises:
        PolicyError: not authenticated, or shutting down.
        ClientError: the body is too large, of the wrong type or not what the dialect expects, or asks for state where
            nothing is kept.
    """
    if runtime.stopping:
        raise PolicyError(
            "the gateway is shutting down; try again", kind=Kind.OVERLOADED, code="shutting_down", retry_after=1
        )
    exchange.identity = authenticate(runtime, caller) if runtime.keyring is None else await identify(runtime, caller)
    if exchange.forward is not None:
        if exchange.forward.endpoint.body == "json":
            _check_type(caller)
        await read_request(runtime, exchange, caller, exchange.forward)
        return
    if caller.fields.get(b"content-type") != b"application/json":
        _check_type(caller)
    exchange.body = await caller.body(runtime.max_body)
    if runtime.history is not None:
        runtime.history.screen(exchange)
    if exchange.dialect.names_model:
        exchange.envelope = envelope = peek(exchange.dialect.name, exchange.body)
        exchange.stream = envelope.stream
    else:
        unwrap = exchange.dialect.unwrap
        body = exchange.body if unwrap is None else unwrap(exchange.body)
        exchange.envelope = peek_contents(body, exchange.named, stream=exchange.stream)


async def identify(runtime: Runtime, caller: Caller) -> Identity:
    """As ``authenticate``, and whose issued key was shown.

    Raises:
        PolicyError: an unknown key, or no key where one is needed.
        StoreError: issued keys cannot be looked up now.
    """
    ring = runtime.keyring
    if ring is not None and caller.scope.get(IDENTITY_KEY) is None and (key := _key(caller)) is not None:
        identity = await ring.find(key)
        if identity is not None:
            return identity
        if not runtime.blueprint.keyed:
            raise _unknown()
    return authenticate(runtime, caller)


def authenticate(runtime: Runtime, caller: Caller) -> Identity:
    """Who calls: whom the host named, else whose key was shown, else nobody if that is allowed.

    Raises:
        PolicyError: an unknown key, or no key where one is needed.
        TypeError: the host put something else than an Identity into the scope.
    """
    named = caller.scope.get(IDENTITY_KEY)
    if named is not None:
        if not isinstance(named, Identity):
            raise TypeError(f"scope[{IDENTITY_KEY!r}] must be an Identity, not {type(named).__name__}")
        return named
    blueprint = runtime.blueprint
    if blueprint.keyed:
        shown = _shown(caller.fields)
        if (identity := blueprint.keys.recall(shown)) is not None:
            return identity
        if (key := _in_headers(shown)) is not None:
            return _known(blueprint.keys.find(key, shown))
        if (key := _in_query(caller)) is not None:
            return _known(blueprint.keys.find(key))
    if blueprint.settings.auth.anonymous:
        return ANONYMOUS
    raise PolicyError(
        "an API key is needed: send it as Authorization: Bearer, x-api-key or x-goog-api-key",
        kind=Kind.AUTHENTICATION,
        code="missing_api_key",
    )


def _known(identity: Identity | None) -> Identity:
    if identity is None:
        raise _unknown()
    return identity


def _unknown() -> PolicyError:
    """One answer to all keys that do not work, whatever the reason."""
    return PolicyError("the API key is not known here", kind=Kind.AUTHENTICATION, code="invalid_api_key")


def _key(caller: Caller) -> bytes | None:
    """The key shown: in a header of its own, else as a bearer token, else in the query, where Google's clients may."""
    return _in_headers(_shown(caller.fields)) or _in_query(caller)


def _shown(fields: dict[bytes, bytes]) -> Shown:
    """The headers that keys are shown in, as they are."""
    return fields.get(b"x-api-key"), fields.get(b"x-goog-api-key"), fields.get(b"authorization")


def _in_headers(shown: Shown) -> bytes | None:
    own, google, authorization = shown
    if own or google:
        return own or google
    if authorization is not None and authorization[:7].lower() == b"bearer ":
        return authorization[7:].strip() or None
    return None


def _in_query(caller: Caller) -> bytes | None:
    query = caller.scope["query_string"]
    return parse_qs(query)[b"key"][0] if b"key=" in query and b"key" in parse_qs(query) else None


def _check_type(caller: Caller) -> None:
    declared = caller.fields.get(b"content-type")
    if declared:
        media_type = declared.partition(b";")[0].strip().lower()
        if media_type != b"application/json" and not media_type.endswith(b"+json"):
            raise ClientError(
                f"the content type is {media_type.decode('latin-1')[:100]}; application/json is expected",
                code="unsupported_media_type",
                param="content-type",
                kind=Kind.UNSUPPORTED_MEDIA_TYPE,
            )
