"""What server processes serve: the way of mounting that the environment names, with the echo."""

import os
from typing import Any

from mounts.djangos import DjangoIntercept, DjangoView
from mounts.litestars import LitestarPlugin
from mounts.plain import Middleware, RawASGI
from mounts.starlettes import FastAPIRouter, StarletteMount

WAYS = {
    way.__name__: way
    for way in (RawASGI, Middleware, StarletteMount, FastAPIRouter, DjangoView, DjangoIntercept, LitestarPlugin)
}


def build() -> Any:
    mount = WAYS[os.environ["WAY"]]({"targets": {"echo": {"provider": "echo"}}, "auth": {"anonymous": True}})
    return mount.build()


app = build()
