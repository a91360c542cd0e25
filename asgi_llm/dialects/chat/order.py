"""Messages put into the order that a server or a model's template demands.

Works on messages as they are written, in one walk each; a conversation that goes on keeps its beginning, save the last
message where turns are joined.
"""

from typing import Any

from asgi_llm.dialects.interface import Report
from asgi_llm.dialects.profile import Order

__all__ = ["put_in_order"]

_Message = dict[str, Any]
_INSTRUCTIONS = ("system", "developer")
_BRIDGE = "OK."
"""What the assistant is made to say between the results of its calls and what the user says next."""


def put_in_order(messages: list[_Message], order: Order, report: Report) -> list[_Message]:
    if not order.system_turns:
        messages = _one_system(messages, report)
    if not order.empty_messages:
        messages = [message for message in messages if not _empty(message)]
    if not order.user_after_tool:
        messages = _bridged(messages, report)
    if order.alternating:
        messages = _joined(messages, report)
    if order.prefill is not None and messages and messages[-1]["role"] == "assistant":
        messages[-1] = {**messages[-1], order.prefill: True}
    return messages


def _one_system(messages: list[_Message], report: Report) -> list[_Message]:
    """The leading instructions in one message, later ones as what the user says, marked as what they are."""
    lead = next((n for n, message in enumerate(messages) if message["role"] not in _INSTRUCTIONS), len(messages))
    ordered = messages[:lead]
    if lead > 1:
        ordered = [{"role": messages[0]["role"], "content": _one([message["content"] for message in ordered])}]
    for message in messages[lead:]:
        if message["role"] in _INSTRUCTIONS:
            report.lose("system_turn")
            said = _one(["<system-reminder>", message["content"], "</system-reminder>"], "\n")
            message = {"role": "user", "content": said}
        ordered.append(message)
    return ordered


def _empty(message: _Message) -> bool:
    return not message["content"] and message["role"] != "tool" and "tool_calls" not in message


def _bridged(messages: list[_Message], report: Report) -> list[_Message]:
    ordered: list[_Message] = []
    for message in messages:
        if ordered and ordered[-1]["role"] == "tool" and message["role"] in ("user", *_INSTRUCTIONS):
            report.lose("role_order")
            ordered.append({"role": "assistant", "content": _BRIDGE})
        ordered.append(message)
    return ordered


def _joined(messages: list[_Message], report: Report) -> list[_Message]:
    ordered: list[_Message] = []
    for message in messages:
        last = ordered[-1] if ordered else None
        if last is None or not _follows(last, message):
            ordered.append(message)
        else:
            report.lose("role_order")
            ordered[-1] = _merged(last, message)
    return ordered


def _merged(last: _Message, message: _Message) -> _Message:
    """Two messages of one side as one; thoughts stand beside each other as contents do."""
    both = {name: [last[name], message[name]] for name in last.keys() & message.keys() - {"role"}}
    return {**last, **message, **{name: _one([value for value in values if value]) for name, values in both.items()}}


def _follows(last: _Message, message: _Message) -> bool:
    """Whether one side goes on speaking."""
    role = message["role"]
    return role in ("user", "assistant") and last["role"] == role and "tool_calls" not in last


def _one(contents: list[Any], between: str = "\n\n") -> Any:
    """Several contents as one: a string where all are strings, else their parts."""
    if all(isinstance(content, str) for content in contents):
        return between.join(contents)
    return [part for content in contents for part in _parts(content)]


def _parts(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [{"type": "text", "text": content}]
