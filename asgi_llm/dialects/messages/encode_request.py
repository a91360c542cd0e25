"""Neutral request -> Messages body, strictly as the chosen model takes it.

A pure function: the same request gives the same bytes, and a longer conversation begins with the bytes of the shorter
one. Spec: Anthropic Messages API, "Create a Message".
"""

from typing import Any

import msgspec
from msgspec import Raw

from asgi_llm.dialects.foreign import foreign_fields
from asgi_llm.dialects.interface import Encoded, Profile, Report, Restore
from asgi_llm.dialects.place import conversation_field, member
from asgi_llm.dialects.short_ids import short_id
from asgi_llm.neutral.request import CacheMark, DialectName, OutputFormat, Request, Sampling, StateRef
from asgi_llm.types import Headers

from .encode_tools import WireTools, declare, encode_tools, wire_choice
from .history import History, Message, ends_in_thoughtless_loop, history
from .losses import LOSSES
from .models import Capabilities, capabilities
from .parts import Block, cache_control, text_block
from .schemas import closed_schema, root_is_object
from .thinking import Thinking, thinking

__all__ = ["encode_request"]

_VERSION = (b"anthropic-version", b"2023-06-01")
"""Every field written here exists in this version, and it alone takes sampling parameters and plain documents in any
position; nothing written here needs a later one."""

_MARKS = 4
_OUTPUT_TOOL = "json_output"
_NOTHING = Restore()
_NO_SAMPLING = Sampling()
_NO_STATE = StateRef()


def encode_request(request: Request, profile: Profile) -> Encoded:
    """The body for ``request.model``, and what was lost on the way.

    Raises:
        TranslationError: the request holds what this API cannot say; ``param`` names it.
    """
    report = Report(LOSSES)
    _refuse(request, report)
    model = capabilities(request.model)
    wish = thinking(request, model, profile, report)
    past = history(request.turns, request.dialect, report, system_turns=model.system_turns)
    if model.thought_first and wish.budgeted and ends_in_thoughtless_loop(past.messages):
        report.lose("reasoning")
        wish = Thinking(wish.max_tokens)
    return _Draft(request, model, profile, report, past, wish).encoded()


class _Draft:
    """A body in the making: the parts that depend on each other (tools, choice, thinking, format, system)."""

    __slots__ = ("choice", "model", "past", "profile", "report", "request", "sentences", "tools", "unwrap", "wish")

    def __init__(
        self,
        request: Request,
        model: Capabilities,
        profile: Profile,
        report: Report,
        past: History,
        wish: Thinking,
    ) -> None:
        self.request = request
        self.model = model
        self.profile = profile
        self.report = report
        self.past = past
        self.wish = wish
        self.tools: WireTools = encode_tools(request, model, profile, report)
        self.choice: dict[str, Any] | None = None
        self.sentences: list[str] = []
        self.unwrap: str | None = None

    def encoded(self) -> Encoded:
        if self.tools.tools or self.past.called:
            self._choose()
        form = None if self.request.output is None else self._format(self.request.output)
        if self.choice is not None:
            self._settle_forced(self.choice)
        self._prefill()
        body = self._body(form)
        self._keep_marks(body)
        if self.request.stream.on:
            body["stream"] = True
        shapes, unwrap = self.tools.shapes, self.unwrap
        pauses = self.tools.hosted and self.request.dialect != "messages"
        restore = _NOTHING
        if shapes or unwrap or pauses:
            restore = Restore(shapes, unwrap, pauses="content" if pauses else None)
        return Encoded(msgspec.json.encode(body), self.report.warnings, self._headers(), restore)

    def _body(self, form: dict[str, Any] | None) -> dict[str, Any]:
        """All fields but ``stream``, in the order of what a prompt cache goes by."""
        request, wish = self.request, self.wish
        body: dict[str, Any] = {"model": request.model, "max_tokens": wish.max_tokens}
        if system := self._system():
            body["system"] = system
        if self.tools.tools:
            body["tools"] = self.tools.tools
            if self.choice is not None:
                body["tool_choice"] = self.choice
        body["messages"] = self.past.messages
        if wish.field is not None:
            body["thinking"] = wish.field
        if wish.effort is not None:
            body["output_config"] = {"effort": wish.effort} if form is None else {"effort": wish.effort, "format": form}
        elif form is not None:
            body["output_config"] = {"format": form}
        self._add_knobs(body)
        if request.dialect != "messages":
            for name in foreign_fields(request, "messages"):
                self.report.lose("ext", name)
        elif request.ext:
            _add_ext(body, request.ext)
        return body

    def _headers(self) -> Headers:
        if self.request.dialect == "messages" and self.request.betas:
            return [_VERSION, (b"anthropic-beta", ",".join(self.request.betas).encode())]
        return [_VERSION]

    def _choose(self) -> None:
        if self.tools.tools:
            self.choice = wire_choice(self.request, self.report)
        elif self.past.called:
            self.tools.tools = declare(self.past.called)
            self.choice = {"type": "none"}

    def _format(self, output: OutputFormat) -> dict[str, Any] | None:
        """``output_config.format``, where the wished format can be said so; else it is built from other means."""
        if output.kind == "text":
            return None
        if output.kind == "json" or output.schema is None:
            self.report.lose("output.json")
            self.sentences.append("Answer with one valid JSON object and nothing else.")
            return None
        if self.model.structured:
            schema = closed_schema(bytes(output.schema))
            if output.strict is not True and schema != bytes(output.schema):
                self.report.lose("output.strict")
            return {"type": "json_schema", "schema": Raw(schema)}
        self.report.lose("output.schema")
        self._output_by_tool(output, output.schema)
        return None

    def _output_by_tool(self, output: OutputFormat, schema: Raw) -> None:
        """A tool whose arguments are the answer, and that must be called (unless one of the caller's is)."""
        if not root_is_object(schema) or (self.choice is not None and self.choice["type"] == "none"):
            text = bytes(schema).decode("utf-8", "replace")
            self.sentences.append(f"Answer with JSON that fits this schema, and nothing else:\n{text}")
            return
        own: dict[str, Any] = {"name": _OUTPUT_TOOL}
        own["description"] = output.description or "Gives the final answer to the user."
        own["input_schema"] = schema
        alone = not self.tools.tools
        self.tools.tools = [*self.tools.tools, own]
        self.choice = {"type": "tool", "name": _OUTPUT_TOOL} if alone else {"type": "any"}
        self.unwrap = _OUTPUT_TOOL

    def _settle_forced(self, choice: dict[str, Any]) -> None:
        """A forced choice where the model refuses one: ask in words, or give up thinking by budget."""
        if choice["type"] not in ("any", "tool"):
            return
        if self.model.forced_tools == "never":
            self.report.lose("tool_choice.forced")
            which = f"the tool {choice['name']}" if choice["type"] == "tool" else "one of the tools"
            self.sentences.append(f"In this turn you must call {which} before you answer.")
            self.choice = {**{k: v for k, v in choice.items() if k != "name"}, "type": "auto"}
        elif self.wish.budgeted and self.model.forced_tools == "without_budget":
            self.report.lose("reasoning")
            self.wish = Thinking(self.wish.max_tokens, effort=self.wish.effort)

    def _prefill(self) -> None:
        last = self.past.messages[-1]
        if last.role != "assistant" or any(isinstance(block, Raw) for block in last.content):
            # Raw blocks are the provider's own tools in mid-work: such a turn is sent back to be continued.
            return
        if not self.model.prefill:
            self.report.lose("prefill", conversation_field(self.request.dialect))
        if not _trimmed(last):
            self.past.messages.pop()

    def _system(self) -> list[dict[str, Any]]:
        """Leading instructions, each text a block of its own; what this gateway adds comes last."""
        blocks: list[dict[str, Any]] = []
        for said in self.request.instructions:
            blocks += [block for part in said.parts if (block := text_block(part.text, part.cache)) is not None]
        if self.sentences:
            blocks += [{"type": "text", "text": sentence} for sentence in self.sentences]
        return blocks

    def _add_knobs(self, body: dict[str, Any]) -> None:
        request, report = self.request, self.report
        if request.sampling != _NO_SAMPLING:
            body.update(_sampling(request, self.model, self.wish, report))
        if request.stop:
            if stop := [text for text in request.stop if text.strip()]:
                body["stop_sequences"] = stop
            if len(stop) != len(request.stop):
                report.lose("stop")
        if request.end_user:
            body["metadata"] = {"user_id": short_id(request.end_user, _LONGEST_USER)}
        if request.service_tier in _TIERS and self.model.known:
            body["service_tier"] = _TIERS[request.service_tier]
        elif request.service_tier not in (None, "auto"):
            report.lose("service_tier")
        if self.model.known and (mark := _automatic(request)) is not None:
            body["cache_control"] = cache_control(mark)

    def _keep_marks(self, body: dict[str, Any]) -> None:
        """At most four marks: the earliest of the messages go first, then those of the tools and of the system."""
        marked = [
            block
            for message in self.past.messages
            for block in message.content
            if isinstance(block, dict) and "cache_control" in block
        ]
        for fixed in (self.tools.tools, body.get("system")):
            if fixed:
                marked += [block for block in fixed if isinstance(block, dict) and "cache_control" in block]
        surplus = len(marked) + ("cache_control" in body) - _MARKS
        if surplus > 0:
            self.report.lose("cache")
            for block in marked[:surplus]:
                del block["cache_control"]
        if marked:
            self._order_marks(body)

    def _order_marks(self, body: dict[str, Any]) -> None:
        """The API wants marks of an hour before those of five minutes: behind one of these no other lasts longer."""
        said = [*self.tools.tools, *body.get("system", ())]
        said += [block for message in self.past.messages for block in message.content]
        short = False
        for block in (*said, body):
            mark = block.get("cache_control") if isinstance(block, dict) else None
            if not isinstance(mark, dict):
                continue
            if short:
                mark.pop("ttl", None)
            short = "ttl" not in mark


_TIERS = {"auto": "auto", "default": "standard_only"}


def _add_ext(body: dict[str, Any], ext: dict[str, Raw]) -> None:
    """Fields that only this API knows; of its ``output_config`` those that have no neutral meaning."""
    if (config := ext.get("output_config")) is not None:
        body["output_config"] = body.get("output_config", {}) | msgspec.json.decode(config, type=dict[str, Raw])
    body.update((name, raw) for name, raw in ext.items() if name not in body)


def _refuse(request: Request, report: Report) -> None:
    """What cannot be had at all, and the knobs that have no counterpart."""
    if request.state != _NO_STATE:
        _refuse_state(request.state, report, request.dialect)
    if request.n is not None and request.n > 1:
        report.lose("n", member(request.dialect, "n"))
    if request.modalities and any(kind != "text" for kind in request.modalities):
        report.lose("modalities", member(request.dialect, "modalities"))
    if request.sampling != _NO_SAMPLING:
        _lose_sampling(request.sampling, report)
    if request.verbosity is not None:
        report.lose("verbosity")
    if request.metadata is not None:
        report.lose("metadata")
    if request.max_tool_calls is not None:
        report.lose("max_tool_calls")


def _refuse_state(state: StateRef, report: Report, dialect: DialectName) -> None:
    if state.previous_response_id is not None:
        report.lose("previous_response_id")
    if state.conversation is not None:
        report.lose("conversation")
    if state.background:
        report.lose("background")
    if state.store and dialect != "responses":  # there it is the default, and the gateway's own matter
        report.lose("store")


def _lose_sampling(said: Sampling, report: Report) -> None:
    if said == Sampling(temperature=said.temperature, top_p=said.top_p, top_k=said.top_k):
        return
    for name in ("min_p", "seed", "presence_penalty", "frequency_penalty", "logit_bias"):
        if getattr(said, name) is not None:
            report.lose(name)
    if said.logprobs or said.top_logprobs:
        report.lose("logprobs")


def _sampling(request: Request, model: Capabilities, wish: Thinking, report: Report) -> dict[str, Any]:
    said = request.sampling
    knobs: dict[str, Any] = {}
    if said.temperature is not None:
        knobs["temperature"] = said.temperature
    if said.top_p is not None:
        knobs["top_p"] = said.top_p
    if said.top_k is not None:
        knobs["top_k"] = said.top_k
    if not model.sampling or (wish.on and model.known):
        for name in knobs:
            report.lose(name)
        return {}
    if said.temperature is not None and said.temperature > 1:
        report.lose("temperature")
        knobs["temperature"] = 1.0
    if not model.temperature_with_top_p and "temperature" in knobs and "top_p" in knobs:
        report.lose("top_p")
        del knobs["top_p"]
    return knobs


def _automatic(request: Request) -> CacheMark | None:
    """The caching wish for the whole request. Other APIs cache by a key; here a mark at the end has that effect."""
    cache = request.cache
    if cache.auto is not None:
        return cache.auto
    return CacheMark() if cache.key or cache.retention else None


_LONGEST_USER = 128


def _trimmed(message: Message) -> bool:
    """Take white space off the end of a prefilled text, which must not end in it; whether anything is left."""
    while message.content:
        block: Block = message.content[-1]
        if isinstance(block, Raw) or block["type"] != "text":
            return True
        if text := block["text"].rstrip():
            block["text"] = text
            return True
        message.content.pop()
    return False
