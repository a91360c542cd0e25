"""A Chat Completions request -> neutral (OpenAI API reference, "Create chat completion").

Types are checked while reading, so that what follows need not; a wrong type is a ``ClientError`` whose ``param`` is
the path as the caller spelled it (``messages[2].content[0].type``).
"""

import re
from typing import Any, NoReturn

import msgspec
from msgspec import Raw

from asgi_llm.errors import ClientError
from asgi_llm.neutral.request import (
    CacheHints,
    CacheMark,
    CustomTool,
    FunctionTool,
    HostedTool,
    OutputFormat,
    ReasoningConfig,
    Request,
    Sampling,
    StateRef,
    StreamOptions,
    Tool,
    ToolChoice,
)

from .messages import read_messages
from .wire import Body, ChoiceDef, FunctionDef, FunctionToolDef, LooseBody, ResponseFormat, ToolDef, given

__all__ = ["decode_request"]

_strict = msgspec.json.Decoder(Body)
_loose = msgspec.json.Decoder(LooseBody)
_members = msgspec.json.Decoder(dict[str, Raw])
_KNOWN = frozenset(Body.__struct_fields__)
_STREAM = StreamOptions(on=True)
_NO_STREAM = StreamOptions()
_LONGEST = 500
"""Characters of a complaint that are told; it may quote what came."""
_UNKNOWN_FIELD = "Object contains unknown field"
_AT = re.compile(r" - at `\$\.?(.*)`$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(\w+)`")


def decode_request(body: bytes) -> Request:
    """Read the caller's body.

    Raises:
        ClientError: not UTF-8, not JSON, nested too deeply, or a field of the wrong type, which it names.
    """
    try:
        if not body.isascii():
            str(body, "utf-8")  # raw sub-trees are passed on without being looked at
        return _request(*_read(body))
    except UnicodeDecodeError:
        raise ClientError("The request body is not valid UTF-8.", code="invalid_json") from None
    except msgspec.ValidationError as error:
        _refuse(str(error))
    except msgspec.DecodeError as error:
        raise ClientError(f"The request body is not valid JSON: {error}.", code="invalid_json") from None
    except RecursionError:
        raise ClientError("The request body is nested too deeply.", code="invalid_json") from None


def _read(body: bytes) -> tuple[Body, dict[str, Raw]]:
    try:
        return _strict.decode(body), {}
    except msgspec.ValidationError as error:
        if not str(error).startswith(_UNKNOWN_FIELD):
            raise
    loose = _loose.decode(body)
    return loose, {name: raw for name, raw in _members.decode(body).items() if name not in _KNOWN}


def _refuse(problem: str) -> NoReturn:
    found = _AT.search(problem)
    param = found[1] if found else ""
    text = problem[: found.start()] if found else problem
    if missing := _MISSING.match(text):
        param = f"{param}.{missing[1]}" if param else missing[1]
        raise ClientError(f"'{param}' is required.", code=_code(param), param=param) from None
    sentence = text[:_LONGEST].replace("`", "").replace("Invalid value", "unknown value")
    sentence = f"{sentence[:1].lower()}{sentence[1:]}."
    if not param:
        raise ClientError(f"The request body: {sentence}", code="invalid_json") from None
    raise ClientError(f"'{param}': {sentence}", code=_code(param), param=param) from None


def _code(param: str) -> str:
    return "model_required" if param == "model" else "invalid_request"


def _request(body: Body, unknown: dict[str, Raw]) -> Request:
    if not body.model:
        raise ClientError("'model' must not be empty.", code="model_required", param="model")
    instructions, turns = read_messages(body.messages)
    tools, choice = _tools(body)
    # With more than fifteen keywords CPython makes the call by way of a dictionary, several times slower; what is
    # seldom said is put in afterwards.
    request = Request(
        model=body.model,
        dialect="chat",
        instructions=instructions,
        turns=turns,
        tools=tools,
        tool_choice=choice,
        parallel_tools=body.parallel_tool_calls,
        sampling=_sampling(body),
        max_output=_limit(body),
        stop=_stop(body.stop),
        reasoning=ReasoningConfig(effort=body.reasoning_effort) if body.reasoning_effort else None,
        output=None if body.response_format is None else _output(body.response_format),
        end_user=body.safety_identifier or body.user,
        metadata=body.metadata,
        stream=_stream(body),
    )
    seldom = _seldom(body, unknown)
    return msgspec.structs.replace(request, **seldom) if seldom else request


def _limit(body: Body) -> int | None:
    name = "max_tokens" if body.max_completion_tokens is None else "max_completion_tokens"
    limit: int | None = getattr(body, name)
    if limit is not None and limit < 0:
        raise ClientError(f"'{name}' must not be negative.", param=name)
    return limit


def _seldom(body: Body, unknown: dict[str, Raw]) -> dict[str, Any]:
    """The fields of the request that few callers send."""
    said: dict[str, Any] = {}
    if unknown:
        said["ext"] = unknown
    if body.n is not None:
        said["n"] = body.n
    if body.verbosity is not None:
        said["verbosity"] = body.verbosity
    if body.modalities:
        said["modalities"] = tuple(body.modalities)
    if body.service_tier is not None:
        said["service_tier"] = body.service_tier
    if body.store is not None:
        said["state"] = StateRef(store=body.store)
    if body.functions is not None:
        said["version"] = "functions"  # who asks in the deprecated form wants the answer in it
    if (cache := _cache(body)) is not None:
        said["cache"] = cache
    return said


def _stream(body: Body) -> StreamOptions:
    if body.stream_options is None:
        return _STREAM if body.stream else _NO_STREAM
    return StreamOptions(on=bool(body.stream), include_usage=body.stream_options.include_usage)


def _sampling(body: Body) -> Sampling:
    return Sampling(
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=body.top_k,
        min_p=body.min_p,
        seed=body.seed,
        presence_penalty=body.presence_penalty,
        frequency_penalty=body.frequency_penalty,
        logit_bias=given(body.logit_bias) if body.logit_bias else None,
        logprobs=body.logprobs,
        top_logprobs=body.top_logprobs,
    )


def _stop(stop: str | list[str] | None) -> tuple[str, ...]:
    if stop is None:
        return ()
    return (stop,) if isinstance(stop, str) else tuple(stop)


def _output(wish: ResponseFormat) -> OutputFormat:
    match wish.type:
        case "text":
            return OutputFormat("text")
        case "json_object":
            return OutputFormat("json")
        case "json_schema":
            schema = wish.json_schema
            if schema is None:
                raise _wrong("response_format.json_schema", "is required with type 'json_schema'")
            return OutputFormat("schema", schema.name, schema.description, given(schema.schema), schema.strict)
        case other:
            raise _wrong("response_format.type", f"expected 'text', 'json_object' or 'json_schema', got '{other[:40]}'")


def _cache(body: Body) -> CacheHints | None:
    options, control = body.prompt_cache_options, body.cache_control
    retention = body.prompt_cache_retention or (options.ttl if options else None)
    if control is None and body.prompt_cache_key is None and retention is None:
        return None
    return CacheHints(auto=CacheMark(control.ttl) if control else None, key=body.prompt_cache_key, retention=retention)


def _tools(body: Body) -> tuple[tuple[Tool, ...], ToolChoice | None]:
    tools: list[Tool] = [_tool(tool) for tool in body.tools] if body.tools else []
    if body.functions:
        tools += [_function(function) for function in body.functions]
    if body.web_search_options and (search := given(body.web_search_options)) is not None:
        tools.append(HostedTool("chat", "web_search", raw=search))
    choice = None if body.tool_choice is None else _choice(body.tool_choice)
    if choice is None and body.function_call is not None:
        call = body.function_call
        choice = _word(call, "function_call") if isinstance(call, str) else ToolChoice("tool", name=call.name)
    return tuple(tools), choice


def _tool(tool: ToolDef) -> Tool:
    if type(tool) is FunctionToolDef:
        return _function(tool.function, tool.cache_control is not None)
    custom = tool.custom
    grammar = custom.format.grammar if custom.format else None
    return CustomTool(
        name=custom.name,
        description=custom.description,
        syntax=grammar.syntax if grammar else None,
        grammar=grammar.definition if grammar else None,
    )


def _function(function: FunctionDef, marked: bool = False) -> FunctionTool:
    mark = function.cache_control
    return FunctionTool(
        name=function.name,
        description=function.description,
        schema=given(function.parameters),
        strict=function.strict,
        cache=CacheMark(mark.ttl if mark else None) if mark or marked else None,
    )


def _choice(choice: str | ChoiceDef) -> ToolChoice:
    if isinstance(choice, str):
        return _word(choice, "tool_choice")
    named = choice.function or choice.custom
    match choice.type:
        case "function" | "custom" if named is not None:
            return ToolChoice("tool", name=named.name)
        case "function" | "custom":
            raise _wrong(f"tool_choice.{choice.type}.name", "is required")
        case "allowed_tools" if choice.allowed_tools is not None:
            return _allowed(choice)
        case "allowed_tools":
            raise _wrong("tool_choice.allowed_tools", "is required")
        case "auto" | "none" | "required" | "any":
            return _word(choice.type, "tool_choice.type")
        case other:
            raise _wrong("tool_choice.type", f"expected 'function', 'custom' or 'allowed_tools', got '{other[:40]}'")


def _allowed(choice: ChoiceDef) -> ToolChoice:
    allowed = choice.allowed_tools
    assert allowed is not None  # noqa: S101  the caller has checked; this tells the type checker
    names = []
    for index, tool in enumerate(allowed.tools):
        named = tool.function or tool.custom
        if named is None:
            raise _wrong(f"tool_choice.allowed_tools.tools[{index}].function.name", "is required")
        names.append(named.name)
    return ToolChoice("allowed", names=tuple(names), required=allowed.mode == "required")


def _word(word: str, param: str) -> ToolChoice:
    match word:
        case "auto":
            return ToolChoice("auto")
        case "none":
            return ToolChoice("none")
        case "required" | "any":
            return ToolChoice("required")
        case _:
            raise _wrong(param, f"expected 'auto', 'none', 'required' or a named tool, got '{word[:40]}'")


def _wrong(param: str, what: str) -> ClientError:
    separator = " " if what.startswith("is ") else ": "
    return ClientError(f"'{param}'{separator}{what}.", param=param)
