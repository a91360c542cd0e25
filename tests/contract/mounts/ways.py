"""Every way of mounting that the suite tries."""

from .base import Mount
from .djangos import DjangoIntercept, DjangoView, DjangoWSGI
from .litestars import LitestarPlugin
from .plain import Middleware, RawASGI
from .starlettes import FastAPIRouter, StarletteMount

__all__ = ["ALL"]

ALL: list[type[Mount]] = [
    RawASGI,
    Middleware,
    StarletteMount,
    FastAPIRouter,
    DjangoView,
    DjangoIntercept,
    DjangoWSGI,
    LitestarPlugin,
]
