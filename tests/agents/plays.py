"""What is played: what the model says, where it stumbles, and what must then be true."""

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents import Agent, Outcome
from model import CALL_IDS, Line, Model, Stumble
from strict import results

from asgi_llm import Exchange

__all__ = ["PLAYS", "Evidence", "Play"]

_DONE = "All is done: the files are there, as you asked."
_THOUGHTS = "The user wants a file. The tool can write one. So I call it."
_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)


@dataclass
class Evidence:
    """What was seen in one run of a play."""

    agent: Agent
    work: Path
    model: Model
    outcomes: list[Outcome] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)

    @property
    def asked(self) -> list[dict[str, Any]]:
        """The bodies of the requests that the model got, side requests left out."""
        return [request.json for request in self.model.played]

    @property
    def warned(self) -> set[str]:
        """The fields that the gateway named as lost."""
        return {warning.field for exchange in self.exchanges for warning in exchange.warnings}


Check = Callable[[Evidence], Iterator[str]]


@dataclass(frozen=True)
class Play:
    """``lines`` are told where to write files. ``agents`` and ``upstreams`` are the names it is for; empty: all."""

    name: str
    about: str
    lines: Callable[[Agent, Path], Sequence[Line]]
    check: Check
    prompts: Sequence[str] = ("Write the files, then say that you are done.",)
    stumbles: Mapping[int, Stumble] = field(default_factory=dict)
    always: Stumble | None = None
    target: Mapping[str, Any] = field(default_factory=dict)
    agents: Sequence[str] = ()
    upstreams: Sequence[str] = ()


def _done(seen: Evidence) -> Iterator[str]:
    """It ended well, and the last text is the model's last line, whole."""
    for outcome in seen.outcomes:
        if outcome.code != 0:
            yield f"exit status {outcome.code}"
    final = seen.outcomes[-1].text.strip()
    if seen.agent.name == "gemini" and seen.model.stumbles:
        final = final[-len(seen.model.lines[-1].text) :]  # it shows what it had of a broken stream as well
    if final != seen.model.lines[-1].text:
        yield f"the final text is {seen.outcomes[-1].text[:200]!r}"


def _written(seen: Evidence, *names: str) -> Iterator[str]:
    for name in names:
        path = seen.work / name
        if not path.is_file() or path.read_text() != f"text of {name}":
            yield f"{name} was not written"


def _answered(seen: Evidence) -> Iterator[str]:
    """Every call came back to the model once, in its order, under the id that the model gave it."""
    said = _results(seen)
    if seen.agent.name == "gemini" and seen.model.dialect == "gemini":
        said = list(dict(said).items())  # Gemini CLI repeats results when it takes up a session; that passes as it is
    ids = CALL_IDS[seen.model.dialect]
    expected = [
        ids.format(number, place) for number, line in enumerate(seen.model.lines) for place in range(len(line.calls))
    ]
    if not seen.agent.keeps_ids:
        expected = [id_ for id_, _ in said] if len(said) == len(expected) else expected
    if [id_ for id_, _ in said] != expected:
        yield f"results of {[id_ for id_, _ in said][:9]} instead of {expected}"
    if any(not text for _, text in said):
        yield "an empty result"


def _results(seen: Evidence) -> list[tuple[str, str]]:
    return results(seen.asked[-1], seen.model.dialect) if seen.asked else []


def _one_file(agent: Agent, work: Path) -> list[Line]:
    return [Line("I write it.", [agent.write(work / "a.txt", "text of a.txt")]), Line(_DONE)]


def _all_of_one_file(seen: Evidence) -> Iterator[str]:
    yield from _done(seen)
    yield from _written(seen, "a.txt")
    yield from _answered(seen)


def _two_files(agent: Agent, work: Path) -> list[Line]:
    calls = [agent.write(work / name, f"text of {name}") for name in ("a.txt", "b.txt")]
    look = agent.shell(f"cat '{work}/a.txt'")
    return [Line("Both at once.", calls), Line("", [look]), Line(_DONE)]


def _all_of_two_files(seen: Evidence) -> Iterator[str]:
    yield from _done(seen)
    yield from _written(seen, "a.txt", "b.txt")
    yield from _answered(seen)
    if not any("text of a.txt" in said for _, said in _results(seen)[2:]):
        yield "what the command printed did not reach the model"


def _thoughtful(agent: Agent, work: Path) -> list[Line]:
    first, last = _one_file(agent, work)
    return [Line(first.text, first.calls, _THOUGHTS), Line(last.text, reasoning="It worked.")]


def _asked_again(seen: Evidence) -> Iterator[str]:
    """The agent got over it by asking again, and took nothing half for whole."""
    yield from _all_of_one_file(seen)
    if len(seen.asked) <= len(seen.model.lines):
        yield f"asked only {len(seen.asked)} times"


def _failed(seen: Evidence) -> Iterator[str]:
    (outcome,) = seen.outcomes
    if outcome.code == 0:
        yield "a failure looks like success"
    if _DONE in outcome.out:
        yield "the whole text came out of half a stream"


def _overflowed(seen: Evidence) -> Iterator[str]:
    """The agent knew it for what it is: it made the conversation shorter and went on, or said so (Codex and Gemini CLI,
    which do not shorten one for that)."""
    (outcome,) = seen.outcomes
    if seen.agent.name == "gemini":
        if outcome.code == 0 or "8192" not in outcome.err:
            yield f"the reason is not shown: {outcome.err[-300:]!r}"
    elif seen.agent.program == "codex":
        if "ran out of room" not in outcome.out:
            yield f"not understood: {outcome.out[-300:]!r}"
    elif outcome.text.strip() != seen.model.lines[-1].text:
        yield f"the final text is {outcome.text[:200]!r}"


def _refused(seen: Evidence) -> Iterator[str]:
    yield from _failed(seen)
    (outcome,) = seen.outcomes
    if "some-model" not in outcome.out + outcome.err or "not" not in outcome.out + outcome.err:
        yield f"the reason is not shown: {(outcome.out + outcome.err)[-300:]!r}"
    if seen.asked:
        yield "the model was asked all the same"


def _long(agent: Agent, work: Path) -> list[Line]:
    return [Line("", [agent.shell("seq -f 'line %g of many' 1 60000")]), Line(_DONE)]


def _all_of_long(seen: Evidence) -> Iterator[str]:
    yield from _done(seen)
    yield from _answered(seen)
    # Agents shorten such results, each keeping the beginning or the end.
    if not any("line 1 of many" in said or "line 60000 of many" in said for _, said in _results(seen)):
        yield "the long result did not reach the model"


def _picture(agent: Agent, work: Path) -> list[Line]:
    (work / "dot.png").write_bytes(_PIXEL)
    return [Line("", [agent.look(work / "dot.png")]), Line(_DONE)]


def _all_of_picture(seen: Evidence) -> Iterator[str]:
    yield from _done(seen)
    if "iVBORw0KGgo" not in json.dumps(seen.asked[-1:]):
        yield "the picture did not reach the model"


def _twice(agent: Agent, work: Path) -> list[Line]:
    return [*_one_file(agent, work), Line("Yes, I remember.")]


def _all_of_twice(seen: Evidence) -> Iterator[str]:
    yield from _all_of_one_file(seen)
    if _DONE not in json.dumps(seen.asked[-1:]):
        yield "the first answer is missing from the history"


def _search(agent: Agent, work: Path) -> list[Line]:
    return [Line("", [("WebSearch", json.dumps({"query": "asgi specification"}))]), Line(_DONE)]


def _all_of_search(seen: Evidence) -> Iterator[str]:
    """Only the search fails, with a reason for the model; the session goes on."""
    yield from _done(seen)
    yield from _answered(seen)
    if not any(exchange.status == 400 for exchange in seen.exchanges):
        yield "the search request was not refused"


def _context(seen: Evidence) -> Iterator[str]:
    if seen.outcomes[0].code != 0:
        yield f"exit status {seen.outcomes[0].code}"
    if not seen.outcomes[0].text:
        yield "nothing was shown"


def _nothing(agent: Agent, work: Path) -> list[Line]:
    return [Line(_DONE)]


PLAYS: Sequence[Play] = (
    Play("file", "one tool call, its result, the final text", _one_file, _all_of_one_file),
    Play("parallel", "two calls in one turn, then a third", _two_files, _all_of_two_files),
    Play("thoughts", "thoughts before the call and before the text", _thoughtful, _all_of_one_file),
    # Over a WebSocket, Codex takes this for final.
    Play(
        "overloaded",
        "529 (503) to the second request",
        _one_file,
        _asked_again,
        stumbles={2: "overloaded"},
        agents=(
            "claude",
            "codex",
            "gemini",
            *(f"opencode-{name}" for name in ("chat", "responses", "messages", "gemini")),
        ),
    ),
    Play("limited", "429 with retry-after to the first request", _one_file, _asked_again, stumbles={1: "limited"}),
    Play("cut", "the final text is reset midway, once", _one_file, _asked_again, stumbles={2: "cut"}),
    Play("ended", "the final text just ends midway, once", _one_file, _asked_again, stumbles={2: "ended"}),
    Play("cut-call", "the tool call is reset midway, once", _one_file, _asked_again, stumbles={1: "cut"}),
    # opencode tries for more than a minute.
    Play(
        "always-cut",
        "every stream ends midway",
        _nothing,
        _failed,
        always="ended",
        agents=("claude", "codex", "gemini"),
    ),
    Play("full", "the conversation is too long for the model", _one_file, _overflowed, stumbles={2: "full"}),
    Play("denied", "a model that the target may not be asked for", _nothing, _refused, target={"allow": ["other"]}),
    Play("long", "a result of a megabyte", _long, _all_of_long),
    Play("picture", "a picture in a result", _picture, _all_of_picture),
    Play("again", "a second prompt to the same session", _twice, _all_of_twice, prompts=("Write.", "Remember?")),
    Play("search", "the agent's own web search", _search, _all_of_search, agents=("claude",), upstreams=("chat",)),
    Play("context", "/context, which counts tokens", _nothing, _context, prompts=("/context",), agents=("claude",)),
)
