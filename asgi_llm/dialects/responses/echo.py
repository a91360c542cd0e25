"""The response object: what was answered, around an echo of what was asked.

OpenAI Responses API reference, "The response object". Typed clients demand all of its keys, so all are written. The
echo is encoded once for each answer, since a stream repeats the object three times and tools can be large.
"""

from typing import Any

from asgi_llm.dialects.interface import Answer
from asgi_llm.neutral.request import ReasoningConfig, Request
from asgi_llm.neutral.usage import Usage

from .definitions import echo_choice, echo_tools
from .encode import output_format, top_instructions
from .usage import encode_usage
from .wire import encode, encode_line

__all__ = ["ResponseObject"]


class ResponseObject:
    """Writes the response object of one answer in each of its states."""

    __slots__ = ("_answer", "_created", "_echo", "id")

    def __init__(self, answer: Answer, response_id: str, created: int | None, service_tier: str | None) -> None:
        self.id = response_id
        self._answer = answer
        self._created = int(answer.now()) if created is None else created
        self._echo = encode_line(_echo(answer, service_tier))[1:]

    def write(
        self,
        status: str,
        output: list[bytes],
        *,
        usage: Usage | None = None,
        error: dict[str, str] | None = None,
        incomplete: str | None = None,
    ) -> bytes:
        """The object; ``output`` holds the items as encoded before, ``incomplete`` the reason of an early end."""
        head = {
            "id": self.id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "completed_at": max(int(self._answer.now()), self._created) if status == "completed" else None,
            "error": error,
            "incomplete_details": None if incomplete is None else {"reason": incomplete},
            "usage": encode_usage(usage),
        }
        return b'%b,"output":[%b],%b' % (encode(head)[:-1], b",".join(output), self._echo)


def _echo(answer: Answer, service_tier: str | None) -> dict[str, Any]:
    request = answer.request or Request(model=answer.model, dialect="responses")
    sampling, state = request.sampling, request.state
    text: dict[str, Any] = {"format": {"type": "text"}}
    if request.output is not None:
        text["format"] = output_format(request.output, own=True)
    text["verbosity"] = request.verbosity or "medium"
    return {
        "model": answer.model,
        "instructions": top_instructions(request)[0] or None,
        "max_output_tokens": request.max_output,
        "max_tool_calls": request.max_tool_calls,
        "tools": echo_tools(request),
        "tool_choice": echo_choice(request),
        "parallel_tool_calls": True if request.parallel_tools is None else request.parallel_tools,
        "text": text,
        "reasoning": _reasoning(request.reasoning),
        "temperature": 1.0 if sampling.temperature is None else sampling.temperature,
        "top_p": 1.0 if sampling.top_p is None else sampling.top_p,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "top_logprobs": sampling.top_logprobs or 0,
        "truncation": request.ext.get("truncation", "disabled"),
        "metadata": request.metadata or {},
        "store": True if state.store is None else state.store,
        "background": bool(state.background),
        "previous_response_id": state.previous_response_id,
        "conversation": None if state.conversation is None else {"id": state.conversation},
        "prompt_cache_key": request.cache.key,
        "prompt_cache_retention": request.cache.retention,
        "safety_identifier": request.end_user,
        "service_tier": service_tier or "default",
        "user": None,
    }


def _reasoning(config: ReasoningConfig | None) -> Any:
    if config is None:
        return {"effort": None, "summary": None}
    return config.raw if config.raw is not None else {"effort": config.effort, "summary": config.summary}
