"""What neutral can say and a Responses request cannot, and what happens to it."""

from asgi_llm.dialects.interface import Loss

__all__ = ["LOSSES"]

_ALL = (
    Loss("stop", "emulate", "the Responses API has no stop sequences; the answer is cut at the first one"),
    Loss("n", "refuse", "the Responses API gives one answer to a request; ask for n = 1"),
    Loss("prefill", "warn", "the Responses API does not continue an assistant message; it answers after it"),
    Loss("seed", "warn", "the Responses API has no seed"),
    Loss("presence_penalty", "warn", "the Responses API has no presence penalty"),
    Loss("frequency_penalty", "warn", "the Responses API has no frequency penalty"),
    Loss("logit_bias", "warn", "the Responses API has no logit bias"),
    Loss("top_k", "warn", "the Responses API has no top_k"),
    Loss("min_p", "warn", "the Responses API has no min_p"),
    Loss("temperature", "warn", "this model does not take a temperature while it reasons"),
    Loss("top_p", "warn", "this model does not take top_p while it reasons"),
    Loss("max_output", "emulate", "the smallest output limit of the Responses API is 16 tokens"),
    Loss("modalities", "refuse", "the Responses API answers in text"),
    Loss("video", "refuse", "the Responses API takes no video"),
    Loss("file_id", "refuse", "a file stored at one provider cannot be read by another; send its content"),
    Loss("document_blocks", "emulate", "a document made of blocks is sent as its text"),
    Loss("cite", "drop", "documents cannot be marked for citation"),
    Loss("cache", "drop", "cache marks of other dialects mean nothing here"),
    Loss("output_schema", "emulate", "a schema of something else than an object is said in the instructions"),
    Loss("reasoning", "drop", "thoughts of another provider cannot be sent back"),
    Loss("reasoning_effort", "warn", "this model takes no effort"),
    Loss("reasoning_budget", "emulate", "a token budget for thinking becomes the nearest effort"),
    Loss("compaction", "refuse", "a compacted history of another provider cannot be read"),
    Loss("server_tools", "warn", "what another provider's tools found is left out of the history"),
    Loss("hosted_tool", "refuse", "this tool is run by its provider and does not exist here"),
    Loss("offered_tool", "warn", "a provider-run tool offered beside the caller's own is left out"),
    Loss("typed_tool", "refuse", "this provider-defined tool does not exist here"),
    Loss("custom_tool", "emulate", "a free-text tool is sent as a function with one string"),
    Loss("tool_search", "drop", "all tools are sent at once"),
    Loss("assistant_media", "warn", "media in what the assistant said is left out of the history"),
    Loss("content", "refuse", "this kind of content is known only to the API it was written for"),
    Loss("opaque", "warn", "a block that only another dialect knows is left out"),
    Loss("orphan_result", "emulate", "a tool result without its call is sent as text"),
    Loss("orphan_call", "emulate", "a tool call without result gets an empty one"),
    Loss("duplicate_result", "warn", "of several results of one call the last one counts"),
    Loss("duplicate_call", "warn", "of several calls with one id the first one counts"),
    Loss("allowed_tools", "emulate", "the set of allowed tools is not taken by this upstream"),
    Loss("web_search", "warn", "domains that a search should not go to cannot be named"),
    Loss("strict", "warn", "strict tools are not taken by this upstream"),
    Loss("parallel_tools", "warn", "parallel_tool_calls is not taken by this upstream"),
    Loss("metadata", "warn", "this upstream takes no metadata"),
    Loss("service_tier", "warn", "this upstream takes no such service tier"),
    Loss("prompt_cache_key", "drop", "a cache key only helps caching"),
    Loss("prompt_cache_retention", "drop", "how long a prompt is cached is up to this upstream"),
    Loss("safety_identifier", "drop", "this upstream takes no end user id"),
    Loss("verbosity", "drop", "this upstream takes no verbosity"),
    Loss("ext", "warn", "fields that only the caller's API knows are left out, each of them named"),
    Loss("state", "refuse", "stored state of another upstream cannot be used"),
)

LOSSES: dict[str, Loss] = {loss.field: loss for loss in _ALL}
"""By the ``field`` that is passed to ``Report.lose``."""
