"""What the echo answers: a pure function of the request.

It repeats the text of the last turn. Lines of that text that begin with a slash are stage directions:

    /think TEXT            think it aloud before answering
    /say TEXT              answer this instead of repeating
    /tool NAME {JSON}      call a tool (several lines: parallel calls); without JSON, arguments are made from its schema
    /delay SECONDS         wait that long before each piece of a stream (or before the whole answer)
    /wait SECONDS          wait that long before the answer begins
    /repeat N              say it N times
    /stop REASON           end with this neutral finish reason (max_tokens, filtered, stop_sequence, refusal, ...)
    /usage INPUT OUTPUT    report these token counts
    /error STATUS TEXT     answer with this HTTP status
    /fail TEXT             begin the answer, then report an error inside it
    /cut                   begin the answer, then end without its terminal event

Without directions: a required or named tool is called, a tool's result is repeated as ``tool said: ...``, and a model
whose name ends in ``-thinking``, or a request for reasoning, is answered with a thought first.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, get_args

import msgspec

from asgi_llm.neutral.request import (
    FunctionTool,
    Part,
    Reasoning,
    Request,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from asgi_llm.neutral.response import Candidate, Finish, FinishReason, Response
from asgi_llm.neutral.usage import Usage

__all__ = ["Script", "pieces", "write_script"]

_REASONS = frozenset(get_args(FinishReason))
_PIECE = re.compile(r"\s*\S+|\s+$")
_LIMIT = 1000
"""Most calls, repetitions and seconds that a direction can ask for."""


@dataclass(slots=True)
class Script:
    """The answer and how it is given. Times are seconds."""

    response: Response
    wait: float = 0.0
    delay: float = 0.0
    error: tuple[int, str] | None = None
    fail: str | None = None
    cut: bool = False


@dataclass(slots=True)
class _Directions:
    text: list[str] = field(default_factory=list)
    think: list[str] = field(default_factory=list)
    say: list[str] = field(default_factory=list)
    tools: list[str] = field(default_factory=list)
    delay: float = 0.0
    wait: float = 0.0
    repeat: int = 1
    stop: str | None = None
    usage: tuple[int, int] | None = None
    error: tuple[int, str] | None = None
    fail: str | None = None
    cut: bool = False


def pieces(text: str) -> list[str]:
    """``text`` in the pieces it is streamed in: words with the white space before them."""
    return _PIECE.findall(text)


def write_script(request: Request, answer_id: str) -> Script:
    """What the echo will say to ``request``."""
    directions = _read(_last_text(request))
    parts = list(_parts(request, directions))
    response = Response(
        id=answer_id,
        model=request.model,
        candidates=tuple(
            Candidate(tuple(parts), _finish(request, directions, parts), index)
            for index in range(min(request.n or 1, 8))
        ),
        usage=_usage(request, directions, parts),
    )
    return Script(response, directions.wait, directions.delay, directions.error, directions.fail, directions.cut)


def _read(text: str) -> _Directions:
    found = _Directions()
    for line in text.splitlines():
        word, _, rest = line.strip().partition(" ")
        if not _direct(found, word, rest.strip()):
            found.text.append(line)
    return found


def _direct(found: _Directions, word: str, rest: str) -> bool:
    """Takes one stage direction; False when the line is none."""
    match word:
        case "/think":
            found.think.append(rest)
        case "/say":
            found.say.append(rest)
        case "/tool" if rest:
            found.tools.append(rest)
        case "/delay":
            found.delay = _number(rest)
        case "/wait":
            found.wait = _number(rest)
        case "/repeat":
            found.repeat = int(_number(rest))
        case "/stop" if rest in _REASONS:
            found.stop = rest
        case "/usage" if len(counts := rest.split()) == 2:
            found.usage = (int(_number(counts[0], 10**12)), int(_number(counts[1], 10**12)))
        case "/error":
            status, _, message = rest.partition(" ")
            found.error = (int(_number(status)) or 500, message or "an error, as asked for")
        case "/fail":
            found.fail = rest or "a failure, as asked for"
        case "/cut":
            found.cut = True
        case _:
            return False
    return True


def _number(text: str, most: float = _LIMIT) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return min(max(value, 0.0), most) if value == value else 0.0  # NaN is not equal to itself


def _parts(request: Request, directions: _Directions) -> Iterator[Part]:
    if thought := _thought(request, directions):
        yield Reasoning(thought)
    calls = _calls(request, directions)
    text = _spoken(request, directions, bool(calls))
    if text:
        yield Text(text)
    yield from calls


def _thought(request: Request, directions: _Directions) -> str:
    if directions.think:
        return "\n".join(directions.think)
    wanted = request.reasoning
    asked = wanted is not None and (wanted.effort not in (None, "none") or bool(wanted.budget) or bool(wanted.adaptive))
    if request.model.endswith("-thinking") or asked:
        return "I will repeat what I was told."
    return ""


def _spoken(request: Request, directions: _Directions, calling: bool) -> str:
    if directions.say:
        text = "\n".join(directions.say)
    elif (result := _tool_answer(request)) is not None:
        text = f"tool said: {result}"
    else:
        text = "\n".join(directions.text).strip()
        if not text and not calling:
            text = "(nothing)"
    return " ".join([text] * max(1, directions.repeat)) if text else ""


def _calls(request: Request, directions: _Directions) -> list[ToolCall]:
    lines = directions.tools[:_LIMIT]
    if not lines and _tool_answer(request) is None:
        lines = _demanded(request)
    return [_call(request, index, line) for index, line in enumerate(lines)]


def _demanded(request: Request) -> list[str]:
    choice = request.tool_choice
    if choice is None or choice.mode not in ("required", "tool", "allowed") or not request.tools:
        return []
    if choice.mode == "tool" and choice.name:
        return [choice.name]
    if choice.mode == "allowed":
        return list(choice.names[:1]) if choice.required else []
    return [next((tool.name for tool in request.tools if tool.name), "tool")]


def _call(request: Request, index: int, line: str) -> ToolCall:
    name, _, arguments = line.partition(" ")
    tool = next((tool for tool in request.tools if tool.name == name), None)
    if isinstance(tool, FunctionTool) or tool is None:
        text, kind = arguments.strip() or _example_arguments(tool), "json"
    else:
        text, kind = arguments.strip() or "text", "text"
    number = sum(isinstance(part, ToolCall) for turn in request.turns for part in turn.parts) + index
    return ToolCall(id=f"call_echo_{number}", name=name, arguments=text, kind="text" if kind == "text" else "json")


def _example_arguments(tool: Tool | None) -> str:
    if not isinstance(tool, FunctionTool) or tool.schema is None:
        return "{}"
    try:
        schema = msgspec.json.decode(tool.schema)
    except msgspec.DecodeError:
        return "{}"
    value = _example(schema, 0)
    return json.dumps(value if isinstance(value, dict) else {}, ensure_ascii=False, separators=(",", ":"))


def _example(schema: Any, depth: int) -> Any:
    """A small value that fits ``schema``; the same one every time."""
    if not isinstance(schema, dict) or depth > 8:
        return None
    if isinstance(choices := schema.get("enum"), list) and choices:
        return choices[0]
    if "const" in schema:
        return schema["const"]
    kind = schema.get("type")
    match kind[0] if isinstance(kind, list) and kind else kind:
        case "object":
            members = schema.get("properties")
            wanted = schema.get("required")
            names = wanted if isinstance(wanted, list) else []
            members = members if isinstance(members, dict) else {}
            return {str(name): _example(members.get(name), depth + 1) for name in names}
        case "array":
            return [_example(schema.get("items"), depth + 1)]
        case "integer" | "number":
            return 1
        case "boolean":
            return True
        case "null":
            return None
    return "example"


def _finish(request: Request, directions: _Directions, parts: list[Part]) -> Finish:
    if directions.stop == "stop_sequence":
        return Finish("stop_sequence", request.stop[0] if request.stop else None)
    if directions.stop is not None:
        return Finish(directions.stop)  # type: ignore[arg-type]  # checked against the reasons when it was read
    return Finish("tool_calls" if any(isinstance(part, ToolCall) for part in parts) else "end")


def _usage(request: Request, directions: _Directions, parts: list[Part]) -> Usage:
    if directions.usage is not None:
        return Usage(fresh=directions.usage[0], visible=directions.usage[1])
    said = [text for item in request.instructions for text in item.parts]
    heard = sum(len(part.text.split()) for part in said) + sum(len(text.split()) for text in _all_texts(request))
    thought = sum(len(pieces(part.text)) for part in parts if isinstance(part, Reasoning))
    spoken = sum(len(pieces(part.text)) for part in parts if isinstance(part, Text))
    called = sum(1 + len(part.arguments) // 4 for part in parts if isinstance(part, ToolCall))
    return Usage(fresh=heard, cache_read=0, visible=spoken + called, reasoning=thought)


def _all_texts(request: Request) -> Iterator[str]:
    for turn in request.turns:
        for part in turn.parts:
            if isinstance(part, Text):
                yield part.text
            elif isinstance(part, ToolResult):
                yield _result_text(part)


def _last_text(request: Request) -> str:
    """The text of the last user turn that has any."""
    for turn in reversed(request.turns):
        if turn.role == "user" and (texts := [part.text for part in turn.parts if isinstance(part, Text)]):
            return "\n".join(texts)
        if turn.role == "user" and any(isinstance(part, ToolResult) for part in turn.parts):
            return ""
    return ""


def _tool_answer(request: Request) -> str | None:
    """What tools answered since the assistant last spoke, if they did."""
    results = []
    for turn in reversed(request.turns):
        if turn.role == "assistant":
            break
        results += [_result_text(part) for part in reversed(turn.parts) if isinstance(part, ToolResult)]
    return "; ".join(reversed(results)) if results else None


def _result_text(result: ToolResult) -> str:
    texts = [part.text if isinstance(part, Text) else f"({type(part).__name__.lower()})" for part in result.parts]
    return "\n".join(texts)
