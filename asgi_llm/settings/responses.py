"""Settings of the Responses API's state: what is kept, for how long, and what a reference to it means."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from .values import Model, Seconds, Secret

__all__ = ["ResponseSettings"]

_DAY = 24 * 3600.0


def _fernet_key(value: SecretStr) -> SecretStr:
    key = value.get_secret_value()
    if len(key) != 44 or not key.endswith("=") or not key[:43].replace("-", "").replace("_", "").isalnum():
        raise ValueError("must be a Fernet key: 32 random bytes in URL-safe base64, 44 characters")
    return value


FernetKey = Annotated[Secret, AfterValidator(_fernet_key)]


class ResponseSettings(Model):
    """``stateful``: whether the gateway keeps responses and conversations itself, so that any upstream has them.

    * ``true``: it does, in the store of ``[store]``. References are its own.
    * ``false``: it keeps nothing and says so: references are refused, a wish to store is answered with a warning.
    * not said: none of its business. References go to upstreams that have the API, as they are, and are refused
      where another dialect is spoken.

    The other fields matter where it is ``true``. ``retention`` is the seconds for which something is kept after it
    was last built upon; 0 means for ever. ``native``: an upstream that has the API is given references to what it
    keeps itself (``reference``), or the whole conversation like all others (``expand``); or it has all of the state
    itself, and is asked for it whenever it is wanted (``verbatim``). With that, ``conversations`` may name the target
    that keeps those that are made at ``/v1/conversations``. ``required``: an answer that
    cannot be kept because the store fails is an error; otherwise it is given with ``store: false``.
    ``max_response`` is bytes of one answer with its input, ``max_history`` bytes and ``max_turns`` the number of
    earlier responses that one request may build upon. ``encryption_keys`` are Fernet keys: the first one encrypts what
    is kept, all of them decrypt. ``background_lease``: seconds after which a response that ran in the background of a
    process that is gone has failed; ``background_limit``: how many may run at once in an event loop. ``signatures``:
    whether proofs of thought are remembered for clients that drop them, for ``signature_retention`` seconds; also where
    ``stateful`` is not said. ``websocket``: whether ``/v1/responses`` may be spoken to over a WebSocket, too;
    ``websocket_lifetime``: seconds after which such a connection is ended.
    """

    stateful: bool | None = None
    retention: Seconds = 30 * _DAY
    native: Literal["expand", "reference", "verbatim"] = "expand"
    conversations: str | None = None
    required: bool = False
    max_response: Annotated[int, Field(ge=1024)] = 8 * 1024 * 1024
    max_history: Annotated[int, Field(ge=1024)] = 32 * 1024 * 1024
    max_turns: Annotated[int, Field(ge=1)] = 1000
    encryption_keys: tuple[FernetKey, ...] = ()
    background_lease: Annotated[float, Field(ge=0.5, allow_inf_nan=False)] = 30
    background_limit: Annotated[int, Field(ge=0)] = 256
    signatures: bool = False
    signature_retention: Seconds = _DAY
    websocket: bool = False
    websocket_lifetime: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 3600

    @model_validator(mode="after")
    def _sockets(self) -> Self:
        if self.websocket and not self.stateful:
            raise ValueError("websocket needs stateful = true")
        return self

    @model_validator(mode="after")
    def _elsewhere(self) -> Self:
        if self.conversations is not None and self.native != "verbatim":
            raise ValueError('conversations needs native = "verbatim"')
        return self
