"""Test kit: a scripted provider, a driver for ASGI apps, a check for leaks.

For the tests of applications that embed the gateway as well as for the gateway's own. Plain objects for any test
runner; waiting always has an end.
"""

from .answer import Answer, Close, Delay, Reset, Stall, Wait
from .recorded import Recorded
from .upstream import ScriptedUpstream

__all__ = ["Answer", "Close", "Delay", "Recorded", "Reset", "ScriptedUpstream", "Stall", "Wait"]
