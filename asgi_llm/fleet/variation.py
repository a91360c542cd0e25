"""How requests to one worker differ from those to its target's others: its own key, headers and time-outs, and the
rank that is meant where several stand behind one address."""

import msgspec
from msgspec import structs

from asgi_llm.dialects.splice import put_member
from asgi_llm.providers.provider import Provider
from asgi_llm.upstream.interface import UpstreamRequest

from .member import Member

__all__ = ["Variation", "variation_of"]

_KEPT = 64
"""Sets of fixed headers that are remembered in the worker's form; a target has a few."""

Fixed = tuple[tuple[bytes, bytes], ...]


class Variation:
    """Changes requests. ``rank_field`` is the member of the body that says the rank."""

    __slots__ = ("_fixed", "_member", "_names", "_own", "_rank", "_rank_field")

    def __init__(self, member: Member, own: Fixed, rank: int | None = None, rank_field: str | None = None) -> None:
        self._member = member
        self._own = own
        self._names = {name for name, _ in own}
        self._rank = rank
        self._rank_field = rank_field
        self._fixed: dict[Fixed, Fixed] = {}

    def of(self, request: UpstreamRequest) -> UpstreamRequest:
        """``request`` as this worker is to have it; the original stays as it is."""
        headers, body, timeouts = request.headers, request.body, request.timeouts
        if self._names:
            headers = [pair for pair in headers if pair[0] not in self._names]
        if self._rank_field is not None and body:
            body = put_member(body, self._rank_field, msgspec.json.encode(self._rank))
        if timeouts is not None:
            timeouts = self._member.own_timeouts.get(timeouts, timeouts)
        fixed = self._with_own(request.fixed)
        return structs.replace(request, headers=headers, body=body, timeouts=timeouts, fixed=fixed)

    def _with_own(self, fixed: Fixed) -> Fixed:
        found = self._fixed.get(fixed)
        if found is None:
            if len(self._fixed) >= _KEPT:
                self._fixed.clear()
            others = tuple(pair for pair in fixed if pair[0] not in self._names)
            found = self._fixed[fixed] = others + self._own
        return found


def variation_of(member: Member, provider: Provider, rank: int | None = None) -> Variation | None:
    """None where the worker is sent what all others are."""
    own = tuple(member.own_headers)
    field = None
    if rank is not None and provider.rank_header is not None:
        own += ((provider.rank_header, b"%d" % rank),)
    elif rank is not None and member.settings.role == "regular":  # a pair has its own words for ranks
        field = provider.rank_field
    if not own and not member.own_timeouts and field is None:
        return None
    return Variation(member, own, rank, field)
