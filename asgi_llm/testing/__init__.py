"""Test kit: a scripted provider, a driver for ASGI apps, a check for leaks.

For the tests of applications that embed the gateway as well as for the gateway's own. Plain objects for any test
runner; whatever waits has an end.
"""

from .answer import Answer, Close, Delay, Reset, Stall, Wait
from .driver import ASGIDriver
from .exchange import ClientGoneError, Exchange, Head
from .leaks import no_leaks
from .recorded import Recorded
from .upstream import ScriptedUpstream

__all__ = [
    "ASGIDriver",
    "Answer",
    "ClientGoneError",
    "Close",
    "Delay",
    "Exchange",
    "Head",
    "Recorded",
    "Reset",
    "ScriptedUpstream",
    "Stall",
    "Wait",
    "no_leaks",
]
