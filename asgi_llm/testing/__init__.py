"""Test kit: a scripted provider, answers for it, a driver for ASGI apps, a check for leaks.

For the tests of applications that embed the gateway as well as for the gateway's own. Plain objects for any test
runner; whatever waits has an end.
"""

from .answer import Answer, Close, Delay, Reset, Stall, Wait
from .chat import chat_completion, chat_error, chat_events, chat_stream, chat_text
from .driver import ASGIDriver
from .exchange import ClientGoneError, Exchange, Head
from .gemini import gemini_error, gemini_events, gemini_response, gemini_stream, gemini_text
from .leaks import no_leaks
from .messages import messages_error, messages_events, messages_message, messages_stream, messages_text
from .recorded import Recorded
from .reply import Call, Tokens
from .responses import responses_error, responses_events, responses_response, responses_stream, responses_text
from .upstream import ScriptedUpstream

__all__ = [
    "ASGIDriver",
    "Answer",
    "Call",
    "ClientGoneError",
    "Close",
    "Delay",
    "Exchange",
    "Head",
    "Recorded",
    "Reset",
    "ScriptedUpstream",
    "Stall",
    "Tokens",
    "Wait",
    "chat_completion",
    "chat_error",
    "chat_events",
    "chat_stream",
    "chat_text",
    "gemini_error",
    "gemini_events",
    "gemini_response",
    "gemini_stream",
    "gemini_text",
    "messages_error",
    "messages_events",
    "messages_message",
    "messages_stream",
    "messages_text",
    "no_leaks",
    "responses_error",
    "responses_events",
    "responses_response",
    "responses_stream",
    "responses_text",
]
