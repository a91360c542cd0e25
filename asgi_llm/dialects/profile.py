"""What one kind of upstream takes beyond its dialect, as values that the encoders read.

A provider's record holds one ``Profile``; what depends on the model hangs on it as ``Family`` entries. No encoder asks
for the name of a provider: what one of them does differently gets a field here.
"""

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

__all__ = ["Family", "Order", "Profile", "adapted", "family"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a server demands of the sequence of chat messages, beyond what the API's origin does.

    Attributes:
        system_turns: takes system messages anywhere; otherwise one at the beginning only.
        alternating: wants user and assistant by turns.
        user_after_tool: takes a user message right behind tool messages.
        empty_messages: takes messages without content.
        prefill: the member that marks a last assistant message as one to be continued, where there must be one.
    """

    system_turns: bool = True
    alternating: bool = False
    user_after_tool: bool = True
    empty_messages: bool = True
    prefill: str | None = None


@dataclass(frozen=True, slots=True)
class Family:
    """Models whose name contains a match of the regular expression ``models``, and what is different for them."""

    models: str
    changes: tuple[tuple[str, Any], ...]


def family(models: str, **changes: Any) -> Family:
    return Family(models, tuple(changes.items()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What one kind of upstream takes and expects, beyond what its dialect says. Chosen by the provider, adapted per
    model. The defaults are the origin's own API."""

    provider: str = "openai"
    origin: bool = True
    """The maker of the dialect runs it: its model families, its own tools and its proofs of thought mean something."""
    families: tuple[Family, ...] = ()
    """What differs by model; the first that matches counts."""

    strict_fields: bool = False
    """Refuses requests with fields that it does not know."""

    # Messages
    developer_role: bool = True
    order: Order | None = None
    image_urls: bool = True
    """Fetches images by URL."""
    documents: Literal["file", "file_url", "document_url"] | None = "file"
    """How documents are said: as a file's content, as its content or URL, as Mistral does, or not at all."""
    cache_marks: bool = False
    """Takes ``cache_control`` on parts of messages."""
    tool_id_limit: int = 64

    # Thoughts
    reasoning_field: Literal["reasoning_content", "reasoning", "content"] | None = None
    """The field of an assistant message in which this upstream wants earlier thoughts back, if any; ``content`` means
    parts of type ``thinking`` in front of the text."""
    reasoning_always: bool = False
    """Insists on that field in messages with tool calls, even where no thought is known."""
    reasoning_details: Literal["signed", "all"] | None = None
    """Wants its ``reasoning_details`` back: those that it signed, or the text of all thoughts."""
    call_signatures: bool = False
    """Wants the signatures of tool calls back (``extra_content``)."""
    signature_filler: str | None = None
    """What stands for the signature of a call that was made elsewhere, where there must be one."""
    reasoning_effort: bool = True
    """Takes ``reasoning_effort``."""
    efforts: tuple[str, ...] = ("none", "minimal", "low", "medium", "high", "xhigh")
    reasoning_summary: bool = True
    """Can be asked to summarise its thoughts."""
    thinking_switch: Literal["thinking", "enable_thinking", "reasoning"] | None = None
    """The field that turns thinking on and off, beside or instead of an effort."""
    thinking_on: str = "enabled"
    """The ``type`` by which ``thinking`` turns it on."""

    # Tools
    strict_tools: bool = True
    custom_tools: bool = True
    parallel_tool_calls: bool = True
    allowed_tools: bool = True
    tool_choices: frozenset[str] = frozenset({"none", "required", "tool"})
    """What ``tool_choice`` can be beside ``auto``; ``tool`` stands for one named tool."""
    forced_tools_think: bool = True
    """Can be forced to call a tool while it thinks, which it does unless told not to."""
    tool_stream: bool = False
    """Streams the arguments of calls only when asked to (``tool_stream``)."""
    hosted_tools: Literal["drop", "refuse"] = "drop"
    """What becomes of another provider's own tools that are merely offered beside the caller's."""

    # Knobs
    default_max_tokens: int = 4096
    """Output limit in tokens where the dialect demands one and the caller gave none."""
    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    stream_usage: bool = True
    """Takes ``stream_options.include_usage``."""
    lacks: frozenset[str] = frozenset()
    """Knobs that are refused or without effect, by their names in Chat Completions."""
    temperature_range: tuple[float, float] | None = None
    """Lowest and highest temperature, where it is not 0 to 2."""
    max_stop: int | None = 4
    """How many stop sequences; None for any number."""
    seed_field: str = "seed"
    json_object: bool = True
    json_schema: bool = True
    """Takes these kinds of ``response_format``."""
    openai_extras: bool = True
    """Takes ``store``, ``metadata``, ``safety_identifier``, ``service_tier``, ``verbosity``, ``prompt_cache_*``, names
    of speakers, refusals and file ids."""
    extras: frozenset[str] = frozenset()
    """Those of them that it takes although it does not take all; ``encrypted_reasoning`` is one in Responses."""
    end_user_field: str = "safety_identifier"
    """The field for the end user's id."""
    engine_sampling: bool = False
    """Takes the open engines' ``top_k`` and ``min_p``."""
    adds: tuple[tuple[str, Any], ...] = ()
    """Fields that go with every request, unless the caller said them."""

    def takes(self, extra: str) -> bool:
        """Whether it takes one of the fields that ``openai_extras`` is about."""
        return self.openai_extras or extra in self.extras


@lru_cache(maxsize=1024)
def adapted(profile: Profile, model: str) -> Profile:
    """The profile for ``model``: with the changes of its family, if it belongs to one."""
    for kind in profile.families:
        if re.search(kind.models, model, re.IGNORECASE):
            return replace(profile, families=(), **dict(kind.changes))
    return replace(profile, families=())
