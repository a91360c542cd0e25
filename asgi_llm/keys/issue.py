"""Making keys: values in, values out. Keeping them is another's work."""

from collections.abc import Iterable

from msgspec import Struct, structs

from asgi_llm.routing.catalog import compile_glob
from asgi_llm.settings import IssuedSettings
from asgi_llm.stores.keys import IssuedKey

from .token import digest_of, mint

__all__ = ["NewKey", "new_key", "successor_of"]


class NewKey(Struct, frozen=True):
    """A key that was just made. ``text`` is what callers show: it is told here and never again."""

    text: str
    key: IssuedKey

    def __repr__(self) -> str:
        return f"<NewKey {self.key.id}>"


def new_key(
    settings: IssuedSettings,
    now: float,
    subject: str,
    *,
    tenant: str = "default",
    name: str = "",
    roles: Iterable[str] = (),
    endpoints: Iterable[str] = (),
    models: Iterable[str] = (),
    targets: Iterable[str] = (),
    lifetime: float | None = None,
) -> NewKey:
    """A key for ``subject``, made ``now`` (seconds since the epoch); ``lifetime`` is in seconds.

    Raises:
        ValueError: no subject, no tenant, one of them is too long, or a glob makes no sense.
    """
    for said in (subject, tenant):
        if not 0 < len(said) < 256:
            raise ValueError("subject and tenant must have from 1 to 255 characters")
    scopes = [tuple(globs) for globs in (endpoints, models, targets)]
    for pattern in (pattern for globs in scopes for pattern in globs):
        compile_glob(pattern)
    id_, text = mint(settings.prefix)
    key = IssuedKey(
        id=id_,
        digest=_digest(settings, text),
        tenant=tenant,
        subject=subject,
        name=name[:255],
        roles=tuple(roles),
        endpoints=scopes[0],
        models=scopes[1],
        targets=scopes[2],
        created=now,
        expires=None if lifetime is None else now + lifetime,
    )
    return NewKey(text, key)


def successor_of(settings: IssuedSettings, now: float, old: IssuedKey) -> NewKey:
    """A key for the same, that works for as long."""
    id_, text = mint(settings.prefix)
    lifetime = None if old.expires is None else old.expires - old.created
    key = structs.replace(
        old,
        id=id_,
        digest=_digest(settings, text),
        created=now,
        expires=None if lifetime is None else now + lifetime,
        used=None,
        replaces=old.id,
    )
    return NewKey(text, key)


def _digest(settings: IssuedSettings, text: str) -> bytes:
    return digest_of(text.encode(), None if settings.pepper is None else settings.pepper.get_secret_value())
