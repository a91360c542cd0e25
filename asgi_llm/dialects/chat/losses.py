"""What neutral can say and Chat Completions cannot, and what happens then. The docs' table comes from here."""

from asgi_llm.dialects.interface import Loss, Report
from asgi_llm.neutral.request import Request

__all__ = ["LOSSES", "report_for"]

_DECLARED = (
    Loss("background", "warn", "Background runs are not available in Chat Completions; the answer comes at once."),
    Loss("cache_control", "drop", "Cache marks only tell where to cache; automatic caching applies."),
    Loss("citations", "drop", "Requests cannot ask for citations into documents."),
    Loss("compaction", "refuse", "A compacted conversation can be read only by the provider that made it."),
    Loss("conversation", "refuse", "Stored conversations are not available on this upstream."),
    Loss("frequency_penalty", "warn", "Models that reason take no sampling parameters."),
    Loss("file_id", "refuse", "A file stored at another provider cannot be read by this upstream; send its content."),
    Loss("document_url", "refuse", "Chat Completions takes no document by URL; send its content."),
    Loss("image_file_id", "refuse", "Chat Completions takes no image by file id; send its content or a URL."),
    Loss("audio_url", "refuse", "Chat Completions takes no audio by URL; send its content."),
    Loss("logit_bias", "warn", "Models that reason take no sampling parameters."),
    Loss("logprobs", "warn", "Models that reason take no sampling parameters."),
    Loss("max_tool_calls", "warn", "Chat Completions cannot limit the number of tool calls."),
    Loss("metadata", "warn", "This upstream takes no metadata."),
    Loss("min_p", "warn", "This upstream takes no min_p."),
    Loss("opaque_content", "refuse", "Chat Completions has no counterpart for this kind of content."),
    Loss("parallel_tool_calls", "warn", "This upstream cannot be told whether to call tools in parallel."),
    Loss("presence_penalty", "warn", "Models that reason take no sampling parameters."),
    Loss("previous_response_id", "refuse", "This upstream keeps no earlier responses."),
    Loss("prompt_cache_key", "drop", "A cache key only helps caching."),
    Loss("reasoning_effort", "warn", "This upstream takes no reasoning_effort."),
    Loss("reasoning_effort.max", "emulate", "The highest effort of Chat Completions, xhigh, stands for max."),
    Loss("safety_identifier", "drop", "This upstream takes no end user id."),
    Loss("server_tool_history", "warn", "What provider-run tools did in earlier turns is left out."),
    Loss("assistant_content", "warn", "Parts of earlier answers that are neither text nor calls are left out."),
    Loss("instruction_content", "warn", "Parts of instructions that are not text are left out."),
    Loss("service_tier", "warn", "This upstream takes no such service tier."),
    Loss(
        "stop", "emulate", "The answer is cut at stop sequences beyond the fourth, and at all for models that reason."
    ),
    Loss("store", "warn", "This upstream cannot be told whether to store the answer."),
    Loss("stream_options", "warn", "This upstream cannot be asked for usage in a stream."),
    Loss("strict", "warn", "This upstream cannot hold tool arguments to their schema strictly."),
    Loss("temperature", "warn", "Models that reason take no sampling parameters."),
    Loss("thinking", "drop", "Earlier thoughts go back only to upstreams that want them."),
    Loss("thread", "drop", "Threads are a cache of the conversation, which is sent whole."),
    Loss("tool_choice.allowed_tools", "emulate", "All tools are offered; the allowed set cannot be named."),
    Loss("tool_choice.hosted", "refuse", "Chat Completions cannot be forced to use a provider-run tool."),
    Loss("tool_result.missing", "emulate", "A call without a result got a result that says so."),
    Loss("tool_result.orphan", "emulate", "A result without a call became text."),
    Loss("tool_result.duplicate", "emulate", "Of several results for one call the last one counts."),
    Loss("tool_search", "drop", "All tools are sent, so that none need be searched for."),
    Loss("tools.custom", "emulate", "A free text tool is offered as a function with one string."),
    Loss("tools.hosted", "refuse", "Chat Completions has no counterpart for this provider-run tool."),
    Loss("tools.offered", "warn", "A provider-run tool offered beside the caller's own is left out."),
    Loss("tools.typed", "refuse", "Chat Completions has no counterpart for this tool."),
    Loss("top_k", "warn", "This upstream takes no top_k."),
    Loss("top_logprobs", "drop", "Without logprobs there are no top_logprobs."),
    Loss("top_p", "warn", "Models that reason take no sampling parameters."),
    Loss("verbosity", "drop", "This upstream takes no verbosity."),
    Loss("video", "refuse", "Chat Completions takes no video."),
)

LOSSES: dict[str, Loss] = {loss.field: loss for loss in _DECLARED}

_UNDERSTOOD = frozenset({"include", "truncation", "client_metadata"})
"""Fields of other dialects that mean nothing here and whose loss nobody can observe."""


def report_for(request: Request) -> Report:
    """A report that also knows the fields of the caller's dialect that have no neutral meaning."""
    if not request.ext or request.dialect == "chat":
        return Report(LOSSES)
    foreign = {
        name: Loss(name, "drop" if name in _UNDERSTOOD else "warn", "Chat Completions has no counterpart.")
        for name in request.ext
        if name not in LOSSES
    }
    report = Report({**LOSSES, **foreign})
    for name in foreign:
        report.lose(name)
    return report
