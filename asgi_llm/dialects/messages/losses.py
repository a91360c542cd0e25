"""What the neutral model can say and the Messages API cannot, and what happens to it."""

from asgi_llm.dialects.interface import Loss

__all__ = ["LOSSES"]


def _table(*losses: Loss) -> dict[str, Loss]:
    return {loss.field: loss for loss in losses}


LOSSES: dict[str, Loss] = _table(
    # Content.
    Loss("audio", "refuse", "Audio input cannot be sent to an upstream that speaks the Messages API."),
    Loss("video", "refuse", "Video input cannot be sent to an upstream that speaks the Messages API."),
    Loss("image", "refuse", "Images must be JPEG, PNG, GIF or WebP, given as base64 or as an http(s) URL."),
    Loss("document", "refuse", "Documents must be PDF or text, given as base64, as text or as an http(s) URL."),
    Loss("file_id", "refuse", "A file stored at another provider cannot be used here; send the file itself."),
    Loss("content", "refuse", "This kind of content is known only to the API it was written for."),
    Loss("compaction", "refuse", "A compacted conversation can be read only by the provider that made it."),
    Loss("prefill", "refuse", "This model does not continue an assistant message; the last message must be a user's."),
    Loss("assistant_media", "emulate", "Media in an assistant message is replaced by a short text."),
    Loss("history_content", "warn", "Content of earlier answers that only another API can read is left out."),
    Loss("server_tool_history", "emulate", "Results of another provider's own tools are replaced by their text."),
    Loss("system_turn", "emulate", "System messages inside the conversation become tagged user text."),
    Loss("tool_arguments", "emulate", "Arguments that are not a JSON object are wrapped in one."),
    Loss("tool_result_missing", "emulate", "A tool call without a result is answered by an error result."),
    Loss("tool_result_orphan", "emulate", "A tool result without a call becomes user text."),
    Loss("tool_result_duplicate", "warn", "Of several results for one call the last one is used."),
    Loss("image.detail", "drop", "Image resolution cannot be chosen."),
    Loss("turn.name", "drop", "Names of participants are left out."),
    # Tools.
    Loss("tools", "refuse", "This tool is run by another provider and has no counterpart here."),
    Loss("tools.offered", "warn", "A provider-run tool offered beside the caller's own is left out."),
    Loss("tools.namespace", "drop", "Tools of a namespace get its name as a prefix; its description is left out."),
    Loss("custom_tool", "emulate", "Free-text tools become functions with one string argument."),
    Loss("tool_schema", "emulate", "Parameters that are not one plain object are rewritten as an object."),
    Loss("tools.web_search", "warn", "How much context a search may use cannot be chosen."),
    Loss("tools.strict", "warn", "This model cannot enforce the schema of tool arguments."),
    Loss("tools.defer_loading", "drop", "Without a tool search tool every tool is loaded at once."),
    Loss("tool_choice.allowed", "warn", "The set of allowed tools cannot be narrowed; the others stay callable."),
    Loss("tool_choice.forced", "emulate", "This model refuses a forced tool choice; it is asked in words instead."),
    Loss("max_tool_calls", "warn", "The number of tool calls cannot be limited."),
    # Output.
    Loss("output.json", "emulate", "JSON output is asked for in words."),
    Loss("output.schema", "emulate", "Output by schema is built from a forced tool call, or asked for in words."),
    Loss("output.strict", "emulate", "Output by schema is always strict; the schema was closed to fit."),
    Loss("modalities", "refuse", "Only text can be answered."),
    Loss("n", "refuse", "Only one answer can be given for each request."),
    Loss("stop", "warn", "Stop sequences of white space only are left out."),
    Loss("logprobs", "warn", "Token probabilities are not available."),
    Loss("verbosity", "drop", "Verbosity cannot be chosen."),
    # Knobs.
    Loss("max_output", "warn", "The output limit was lowered to what the model can give."),
    Loss("temperature", "warn", "The temperature is not adjustable here, or was lowered to 1."),
    Loss("top_p", "warn", "top_p is not adjustable here."),
    Loss("top_k", "warn", "top_k is not adjustable here."),
    Loss("min_p", "warn", "min_p is not adjustable here."),
    Loss("seed", "warn", "A seed cannot be given."),
    Loss("presence_penalty", "warn", "A presence penalty cannot be given."),
    Loss("frequency_penalty", "warn", "A frequency penalty cannot be given."),
    Loss("logit_bias", "warn", "Token biases cannot be given."),
    Loss("reasoning", "warn", "The wish for (no) reasoning cannot be met by this model in this request."),
    Loss("service_tier", "warn", "This service tier has no counterpart."),
    Loss("metadata", "drop", "Metadata stays at the gateway."),
    Loss("cache", "warn", "Only four cache marks are possible; the earliest ones are left out."),
    # State.
    Loss("store", "warn", "The upstream cannot be told to store the answer."),
    Loss("previous_response_id", "refuse", "The upstream keeps no earlier responses."),
    Loss("conversation", "refuse", "The upstream keeps no conversations."),
    Loss("background", "refuse", "The upstream cannot work in the background."),
    Loss("ext", "warn", "Fields that only the caller's API knows are left out, each of them named."),
)
