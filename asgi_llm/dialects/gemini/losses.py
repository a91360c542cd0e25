"""What the neutral model can say and the Gemini API cannot, and what happens to it."""

from asgi_llm.dialects.interface import Loss

__all__ = ["LOSSES"]


def _table(*losses: Loss) -> dict[str, Loss]:
    return {loss.field: loss for loss in losses}


LOSSES: dict[str, Loss] = _table(
    # Content.
    Loss("media", "refuse", "Media must be given as base64 or as an http(s) or gs:// address."),
    Loss("file_id", "refuse", "A file stored at another provider cannot be used here; send the file itself."),
    Loss("content", "refuse", "This kind of content is known only to the API it was written for."),
    Loss("compaction", "refuse", "A compacted conversation can be read only by the provider that made it."),
    Loss("prefill", "refuse", "The last message must be the user's; an answer cannot be continued."),
    Loss("history_content", "warn", "Content of earlier answers that only another API can read is left out."),
    Loss("reasoning_history", "drop", "Earlier thoughts that another provider signed, or nobody, are left out."),
    Loss("server_tool_history", "emulate", "Results of another provider's own tools are replaced by their text."),
    Loss("system_turn", "emulate", "System messages inside the conversation become tagged user text."),
    Loss("tool_result_missing", "emulate", "A tool call without a result is answered by an error result."),
    Loss("tool_result_orphan", "emulate", "A tool result without a call becomes user text."),
    Loss("tool_result_duplicate", "warn", "Of several results for one call the last one is used."),
    Loss("tool_result_media", "emulate", "Media in tool results is sent in a user message after them."),
    Loss("tool_arguments", "emulate", "Arguments that are not a JSON object are wrapped in one."),
    Loss("document_flags", "drop", "A document's context and the wish for citations into it are left out."),
    Loss("turn.name", "drop", "Names of participants are left out."),
    # Tools.
    Loss("tools", "refuse", "This tool is run by another provider and has no counterpart here."),
    Loss("tools.offered", "warn", "A provider-run tool offered beside the caller's own is left out."),
    Loss("tools.namespace", "drop", "Tools of a namespace get its name as a prefix; its description is left out."),
    Loss("tools.strict", "warn", "The schema of tool arguments can only be enforced for all tools at once."),
    Loss("tools.defer_loading", "drop", "Every tool is loaded at once."),
    Loss("tools.web_search", "warn", "Where and how widely to search cannot be said."),
    Loss("custom_tool", "emulate", "Free-text tools become functions with one string argument."),
    Loss("tool_choice.hosted", "warn", "A tool that the provider runs cannot be forced."),
    Loss("parallel_tools", "warn", "Parallel tool calls cannot be switched off."),
    Loss("max_tool_calls", "warn", "The number of tool calls cannot be limited."),
    # Output.
    Loss("verbosity", "drop", "Verbosity cannot be chosen."),
    Loss("stop", "emulate", "Only five stop sequences are possible; the answer is cut at the others."),
    # Knobs.
    Loss("min_p", "warn", "min_p is not adjustable here."),
    Loss("logit_bias", "warn", "Token biases cannot be given."),
    Loss("reasoning", "warn", "The wish for (no) reasoning cannot be met exactly by this model."),
    Loss("service_tier", "warn", "This service tier has no counterpart."),
    Loss("metadata", "drop", "Metadata stays at the gateway."),
    Loss("end_user", "drop", "The id of the end user stays at the gateway."),
    Loss("cache", "drop", "Prompts are cached without being marked."),
    # State.
    Loss("store", "warn", "The upstream cannot be told to store the answer."),
    Loss("previous_response_id", "refuse", "The upstream keeps no earlier responses."),
    Loss("conversation", "refuse", "The upstream keeps no conversations."),
    Loss("background", "refuse", "The upstream cannot work in the background."),
    Loss("ext", "warn", "Fields that only the caller's API knows are left out, each of them named."),
)
