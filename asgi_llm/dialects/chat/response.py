"""A whole chat answer <-> neutral (OpenAI API reference, "The chat completion object")."""

import re
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw

from asgi_llm.dialects.interface import Answer, Restore, mint
from asgi_llm.dialects.money import with_gateway
from asgi_llm.errors import UpstreamError
from asgi_llm.neutral.request import (
    Audio,
    Carrier,
    FileId,
    Image,
    Inline,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    Url,
)
from asgi_llm.neutral.response import Candidate, Response, numbered

from .annotations import annotation, read_annotations
from .answer import Choice, Chunk, Said, ToolPiece, content_text, stamp
from .audio import LIFETIME, spoken
from .errors import content_error, in_band_error
from .finish import FAILED, read_finish, write_finish
from .names import legal_id
from .restore import restored, unwrapped
from .thoughts import call_carriers, detail, extra_content, read_thoughts
from .tools import NO_ARGUMENTS
from .usage import read_usage, write_usage
from .wire import given

__all__ = ["chat_id", "decode_response", "encode_response", "fresh_id", "old_form", "read_images"]

_answer = msgspec.json.Decoder(Chunk)
_json = msgspec.json.Encoder().encode
_ID = re.compile(r"chatcmpl-[A-Za-z0-9_-]{1,120}")


def decode_response(body: bytes, restore: Restore) -> Response:
    """Read an upstream's answer.

    Raises:
        UpstreamError: cause ``content`` (not a chat answer) or ``in_band`` (an error inside a 200).
    """
    try:
        if not body.isascii():
            str(body, "utf-8")  # raw members are passed on without being looked at
        answer = _answer.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if _is_error(body):
            raise in_band_error(body) from None
        raise content_error("The upstream's answer is not a chat completion.") from None
    if answer.failed or (answer.choices is None and _is_error(body)):
        raise in_band_error(body)
    if not answer.choices:
        raise content_error("The upstream's answer has no choices.")
    answer_id, model, created = stamp(answer)
    reported = answer.reported
    return Response(
        id=answer_id,
        model=model,
        candidates=numbered([_candidate(choice, place, restore) for place, choice in enumerate(answer.choices)]),
        usage=with_gateway(None if reported is None else read_usage(reported), body),
        created=created,
        service_tier=answer.service_tier,
    )


def _is_error(body: bytes) -> bool:
    """Whether a body that is no chat answer is an error in one of the known shapes."""
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    if isinstance(said, list):
        said = said[0] if said else None
    return isinstance(said, dict) and bool(said.get("error") or said.get("object") == "error" or said.get("detail"))


def _candidate(choice: Choice, place: int, restore: Restore) -> Candidate:
    if choice.finish_reason in FAILED:
        raise _broken(choice.finish_reason)
    said = choice.message or choice.delta or Said()
    parts = _parts(said, restore)
    kinds = {type(part) for part in parts}
    tools, refused = ToolCall in kinds, Refusal in kinds
    return Candidate(
        parts=tuple(parts),
        finish=read_finish(choice.finish_reason, choice.stop_reason, tools=tools, refused=refused),
        index=place if choice.index is None else choice.index,
        logprobs=given(choice.logprobs),
    )


def _broken(reason: str) -> UpstreamError:
    return in_band_error(
        msgspec.json.encode({"error": {"message": f"The upstream broke off: {reason}.", "type": reason}})
    )


def _parts(said: Said, restore: Restore) -> list[Part]:
    parts: list[Part] = []
    if (thought := said.thought) or said.reasoning_details:
        parts += read_thoughts(thought, said.reasoning_details)
    if text := content_text(said.content):
        parts.append(Text(text, tuple(read_annotations(said.annotations))) if said.annotations else Text(text))
    if said.refusal:
        parts.append(Refusal(said.refusal))
    if said.images:
        parts += read_images(said.images)
    if said.audio is not None and said.audio.data:
        parts.append(spoken(said.audio))
    if said.tool_calls:
        parts += _calls(said.tool_calls, restore)
    elif said.function_call is not None:
        parts += _calls([ToolPiece(function=said.function_call)], restore)
    return parts


def _calls(pieces: list[ToolPiece], restore: Restore) -> list[ToolCall]:
    taken: set[str] = set()
    return [_call(piece, fresh_id(piece.id, taken), restore) for piece in pieces if piece.name]


def _call(piece: ToolPiece, call_id: str, restore: Restore) -> ToolCall:
    header, wrapped = restored(restore, call_id, piece.name, custom=piece.custom is not None)
    arguments = unwrapped(piece.arguments) if wrapped else piece.arguments
    carriers = call_carriers(piece.extra_content)
    return msgspec.structs.replace(header, arguments=arguments, carriers=carriers)


def fresh_id(given_id: str | int | None, taken: set[str], mint: Callable[[str], str] = mint) -> str:
    """The upstream's tool call id, or a new one where it is missing or was there before."""
    call_id = "" if given_id is None else str(given_id)
    if not call_id or call_id in taken:
        call_id = mint("call_")
    taken.add(call_id)
    return call_id


class _ImageUrl(msgspec.Struct):
    url: str


class _ImageOut(msgspec.Struct):
    image_url: _ImageUrl


_images = msgspec.json.Decoder(list[_ImageOut])


def read_images(raw: Raw) -> list[Image]:
    """Images that the model made (``images``, as OpenRouter and others write them)."""
    if given(raw) is None:
        return []
    try:
        urls = [image.image_url.url for image in _images.decode(raw)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    return [_image(url) for url in urls]


def _image(url: str) -> Image:
    head, found, data = url.partition(";base64,")
    if found and head.startswith("data:"):
        return Image(Inline(head[5:].partition(";")[0] or "image/png", data))
    return Image(Url(url))


def chat_id(upstream: str, mint: Callable[[str], str]) -> str:
    """The answer's id: the upstream's where it is one of this dialect."""
    return upstream if _ID.fullmatch(upstream) else mint("chatcmpl-")


def old_form(answer: Answer) -> bool:
    """Whether the caller asked with the deprecated ``functions`` and so expects ``function_call``."""
    request = answer.request
    return request is not None and request.dialect == "chat" and request.version == "functions"


def encode_response(response: Response, answer: Answer) -> bytes:
    """Write the answer for the caller, under the name of the model that the caller used."""
    body: dict[str, Any] = {
        "id": chat_id(response.id, answer.mint),
        "object": "chat.completion",
        "created": response.created if response.created is not None else int(answer.now()),
        "model": answer.model,
        "choices": [_choice(candidate, answer) for candidate in response.candidates],
    }
    if response.usage is not None:
        body["usage"] = write_usage(response.usage)
    if response.service_tier is not None:
        body["service_tier"] = response.service_tier
    return _json(body)


def _choice(candidate: Candidate, answer: Answer) -> dict[str, Any]:
    parts, finish = candidate.parts, candidate.finish
    if len(parts) == 1 and type(part := parts[0]) is Text and not (part.citations or part.carriers or finish.detail):
        # Most answers are a text and nothing else.
        message: dict[str, Any] = {"role": "assistant", "content": part.text, "refusal": None}
        reason = write_finish(finish, tools=False, refused=False)
    else:
        message, reason = _gathered(candidate, answer)
    return {
        "index": candidate.index,
        "message": message,
        "logprobs": candidate.logprobs,
        "finish_reason": reason,
    }


def _gathered(candidate: Candidate, answer: Answer) -> tuple[dict[str, Any], str]:
    """The message of an answer of any parts, and its ``finish_reason``."""
    message = _Message(answer)
    for part in candidate.parts:
        message.add(part)
    deprecated = old_form(answer)
    finish = write_finish(
        candidate.finish, tools=bool(message.calls), refused=bool(message.refusals), deprecated=deprecated
    )
    if candidate.finish.reason in ("refusal", "filtered") and candidate.finish.detail and not message.refusals:
        message.refusals.append(candidate.finish.detail)
    return message.written(deprecated=deprecated), finish


class _Message:
    """Gathers the parts of one answer into the members of a message."""

    __slots__ = (
        "_annotations",
        "_answer",
        "_audio",
        "_details",
        "_images",
        "_length",
        "_reasoned",
        "_reasoning",
        "_taken",
        "_texts",
        "calls",
        "refusals",
    )

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._texts: list[str] = []
        self._length = 0
        self._reasoning: list[str] = []
        self._reasoned = 0
        self._details: list[Any] = []
        self._annotations: list[Any] = []
        self._images: list[Any] = []
        self._audio: Audio | None = None
        self._taken: set[str] = set()
        self.calls: list[dict[str, Any]] = []
        self.refusals: list[str] = []

    def add(self, part: Part) -> None:
        match part:
            case Text():
                self._text(part)
            case Refusal():
                self.refusals.append(part.text)
            case Reasoning():
                self._thought(part)
            case ToolCall():
                self._call(part)
            case Image():
                self._images.append({"type": "image_url", "image_url": {"url": _image_url(part)}})
            case Audio():
                self._audio = part
            case _:
                pass  # what provider-run tools did has no place here; their citations are on the text

    def _text(self, part: Text) -> None:
        for citation in part.citations:
            written = annotation(citation, self._length, len(part.text))
            if written is not None:
                self._annotations.append(written)
        self._texts.append(part.text)
        self._length += len(part.text)
        for carrier in part.carriers:
            self._details.append(detail(carrier, len(self._details), self._reasoned, self._reasoned))

    def _thought(self, part: Reasoning) -> None:
        text = part.text or "\n\n".join(part.summary)
        start, self._reasoned = self._reasoned, self._reasoned + len(text)
        self._reasoning.append(text)
        for carrier in part.carriers:
            self._details.append(_dated(carrier, part, len(self._details), start, self._reasoned))

    def _call(self, part: ToolCall) -> None:
        call_id = fresh_id(part.id if legal_id(part.id) else None, self._taken, self._answer.mint)
        name = f"{part.namespace}__{part.name}" if part.namespace else part.name
        if part.kind == "text":
            self.calls.append({"id": call_id, "type": "custom", "custom": {"name": name, "input": part.arguments}})
            return
        function = {"name": name, "arguments": part.arguments if part.arguments.strip() else NO_ARGUMENTS}
        call: dict[str, Any] = {"id": call_id, "type": "function", "function": function}
        if (extra := extra_content(part.carriers)) is not None:
            call["extra_content"] = extra
        self.calls.append(call)

    def written(self, *, deprecated: bool) -> dict[str, Any]:
        text = "".join(self._texts)
        silent = not self._texts and (self.calls or self.refusals or self._audio)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if silent else text,
            "refusal": "".join(self.refusals) or None,
        }
        if self._reasoned:
            message["reasoning_content"] = "".join(self._reasoning)
        if self._details:
            message["reasoning_details"] = self._details
        if self._annotations:
            message["annotations"] = self._annotations
        if self._images:
            message["images"] = self._images
        if self._audio is not None and isinstance(self._audio.source, Inline):
            message["audio"] = self._spoken(self._audio, self._audio.source.data, text)
        if self.calls and deprecated and "function" in self.calls[0]:
            message["function_call"] = self.calls[0]["function"]
        elif self.calls:
            message["tool_calls"] = self.calls
        return message

    def _spoken(self, part: Audio, data: str, text: str) -> dict[str, Any]:
        expires = int(self._answer.now()) + LIFETIME
        audio_id, transcript = part.id or self._answer.mint("audio_"), part.transcript or text
        return {"id": audio_id, "data": data, "expires_at": expires, "transcript": transcript}


def _dated(carrier: Carrier, part: Reasoning, index: int, start: int, end: int) -> Any:
    if carrier.item_id is None and part.id is not None:
        carrier = msgspec.structs.replace(carrier, item_id=part.id)
    return detail(carrier, index, start, end)


def _image_url(image: Image) -> str:
    match image.source:
        case Inline(media_type=media_type, data=data):
            return f"data:{media_type};base64,{data}"
        case Url(url=url):
            return url
        case FileId(id=file_id):
            return file_id
        case _:
            return ""
