"""All policies by the names they have in the settings, each with its options."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from .bucket import Bucket, BucketOptions
from .cache_aware import CacheAware, CacheAwareOptions
from .consistent_hash import ConsistentHash, ConsistentHashOptions
from .interface import Clock, Policy, Random
from .least_load import LeastLoad, LeastLoadOptions
from .power_of_two import PowerOfTwo
from .prefix_hash import PrefixHash, PrefixHashOptions
from .random import RandomPolicy
from .round_robin import RoundRobin
from .sticky import Sticky, StickyOptions
from .weighted import Weighted

__all__ = ["POLICIES", "Kind", "NoOptions", "build"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoOptions:
    """Of a policy that has none."""


@dataclass(frozen=True, slots=True)
class Kind:
    """
    Attributes:
        options: the type of its options. Every one has a default; a value that makes no sense raises ValueError.
        make: from options, a clock and a source of randomness.
    """

    options: type[Any]
    make: Callable[[Any, Clock, Random], Policy]


POLICIES: Mapping[str, Kind] = MappingProxyType(
    {
        "round_robin": Kind(NoOptions, lambda _options, _clock, _random: RoundRobin()),
        "random": Kind(NoOptions, lambda _options, _clock, random: RandomPolicy(random)),
        "weighted": Kind(NoOptions, lambda _options, _clock, _random: Weighted()),
        "power_of_two": Kind(NoOptions, lambda _options, _clock, random: PowerOfTwo(random)),
        "least_load": Kind(LeastLoadOptions, lambda options, _clock, _random: LeastLoad(options)),
        "cache_aware": Kind(CacheAwareOptions, lambda options, clock, _random: CacheAware(options, clock=clock)),
        "prefix_hash": Kind(PrefixHashOptions, lambda options, _clock, _random: PrefixHash(options)),
        "consistent_hash": Kind(ConsistentHashOptions, lambda options, _clock, _random: ConsistentHash(options)),
        "sticky": Kind(
            StickyOptions,
            lambda options, clock, random: Sticky(
                options, otherwise=build(options.otherwise, clock=clock, random=random), clock=clock
            ),
        ),
        "bucket": Kind(BucketOptions, lambda options, clock, _random: Bucket(options, clock=clock)),
    }
)


def build(name: str, options: Any = None, *, clock: Clock, random: Random) -> Policy:
    """The policy called ``name`` with ``options`` (None: all defaults).

    ``clock`` tells seconds of a monotonic clock, ``random`` a number from 0 up to but not including 1.

    Raises:
        ValueError: no policy has that name.
        TypeError: the options are another policy's.
    """
    kind = POLICIES.get(name)
    if kind is None:
        raise ValueError(f'there is no policy "{name}"; there are: {", ".join(POLICIES)}')
    if options is None:
        options = kind.options()
    elif not isinstance(options, kind.options):
        raise TypeError(f"{name} takes {kind.options.__name__}, not {type(options).__name__}")
    return kind.make(options, clock, random)
