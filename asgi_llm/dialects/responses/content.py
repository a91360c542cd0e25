"""Parts -> content parts of input messages and of tool outputs.

OpenAI Responses API reference, "Input item content".
"""

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Raw

from asgi_llm.dialects.interface import Profile, Report
from asgi_llm.dialects.media import filename_of
from asgi_llm.dialects.place import conversation_field
from asgi_llm.errors import ClientError
from asgi_llm.neutral.request import (
    Audio,
    Blocks,
    CacheMark,
    Document,
    FileId,
    Image,
    Inline,
    Media,
    Opaque,
    Part,
    PlainText,
    Refusal,
    Request,
    Source,
    Text,
    ToolResult,
    Url,
    Video,
)

__all__ = ["Content", "must_inline"]


class Content:
    """Writes the content parts of one request."""

    def __init__(self, request: Request, report: Report) -> None:
        self._report = report
        self._own = request.dialect == "responses"
        self.field = conversation_field(request.dialect)
        """The caller's own field, named where something in it is refused."""

    def parts(self, parts: Iterable[Part]) -> list[Any]:
        """Raises TranslationError for what the API cannot take."""
        return [entry for part in parts for entry in self._part(part)]

    def output(self, result: ToolResult, *, listed: bool) -> Any:
        """A tool's answer: text as a string, anything else as a list, where the upstream takes lists."""
        texts = [part.text for part in result.parts if isinstance(part, Text)]
        if len(texts) == len(result.parts) and (len(texts) <= 1 or not listed):
            return _marked("\n".join(texts), result)
        written = self.parts(result.parts)
        if result.is_error and not any(_says_error(text) for text in texts):
            written.insert(0, {"type": "input_text", "text": "Error:"})
        return written

    def typed_output(self, typed: str, call_id: str, result: ToolResult) -> dict[str, Any]:
        """The output item of a tool that the provider defines and the caller runs."""
        text = "\n".join(part.text for part in result.parts if isinstance(part, Text))
        item: dict[str, Any] = {"type": f"{typed}_call_output", "call_id": call_id}
        match typed:
            case "apply_patch":
                item["status"] = "failed" if result.is_error else "completed"
                item["output"] = text
            case "shell":
                item["output"] = _raw_array(text) or [
                    {"stdout": text, "stderr": "", "outcome": {"type": "exit", "exit_code": int(bool(result.is_error))}}
                ]
            case "local_shell":
                item = {"type": "local_shell_call_output", "id": call_id, "output": text}
            case _:
                item["output"] = self._screenshot(result)
        return item

    def _screenshot(self, result: ToolResult) -> dict[str, Any]:
        for part in result.parts:
            if isinstance(part, Image):
                return {"type": "computer_screenshot", **self._source(part.source, "image_url")}
        raise ClientError(
            "The output of a computer call must be a screenshot.", code="invalid_request", param=self.field
        )

    def _part(self, part: Part) -> list[Any]:
        match part:
            case Text():
                return [self._cached({"type": "input_text", "text": part.text}, part.cache)] if part.text else []
            case Refusal():
                return [{"type": "input_text", "text": part.text}]
            case Image():
                entry: dict[str, Any] = {"type": "input_image", **self._source(part.source, "image_url")}
                if part.detail is not None:
                    entry["detail"] = part.detail
                return [self._cached(entry, part.cache)]
            case Document():
                return self._document(part)
            case Audio():
                return [self._audio(part)]
            case Video():
                self._report.lose("video", self.field)
            case Opaque() if part.dialect == "responses":
                return [part.raw]
            case Opaque() if part.text:
                return [{"type": "input_text", "text": part.text}]
            case Opaque():
                self._report.lose("content", self.field)
            case _:
                self._report.lose("opaque")
        return []

    def _document(self, part: Document) -> list[Any]:
        name = part.filename or part.title
        heading = [line for line in (name, part.context) if line]
        match part.source:
            case PlainText(text=text):
                return [{"type": "input_text", "text": "\n\n".join([*heading, text])}]
            case Blocks(parts=parts):
                self._report.lose("document_blocks")
                head = [{"type": "input_text", "text": "\n".join(heading)}] if heading else []
                return head + self.parts(parts)
            case Inline():
                entry = {"type": "input_file", "filename": name or filename_of(part.source.media_type)}
            case _:
                entry = {"type": "input_file"}
        if part.cite:
            self._report.lose("cite")
        return [self._cached({**entry, **self._source(part.source, "file_url")}, part.cache)]

    def _audio(self, part: Audio) -> dict[str, Any]:
        if not isinstance(part.source, Inline):
            self._report.lose("file_id", self.field)
            return {}
        kind = part.format or part.source.media_type.rpartition("/")[2].removeprefix("x-")
        kind = {"mpeg": "mp3", "wave": "wav"}.get(kind, kind)
        return {"type": "input_audio", "input_audio": {"data": part.source.data, "format": kind}}

    def _source(self, source: Source, url_field: str) -> dict[str, str]:
        match source:
            case Inline():
                data = f"data:{source.media_type};base64,{source.data}"
                return {"image_url" if url_field == "image_url" else "file_data": data}
            case Url():
                return {url_field: source.url}
            case FileId(dialect="responses" | "chat"):
                return {"file_id": source.id}
            case _:
                self._report.lose("file_id", self.field)
                return {}

    def _cached(self, entry: dict[str, Any], mark: CacheMark | None) -> dict[str, Any]:
        if mark is None:
            return entry
        if not self._own:
            self._report.lose("cache")
            return entry
        point: dict[str, str] = {"mode": "explicit"}
        if mark.ttl is not None:
            point["ttl"] = mark.ttl
        return {**entry, "prompt_cache_breakpoint": point}


def must_inline(part: Media, profile: Profile) -> bool:
    """Whether the upstream wants the content of what is given by URL."""
    return isinstance(part, Audio) or (isinstance(part, Image | Document) and not profile.image_urls)


def _marked(text: str, result: ToolResult) -> str:
    if not result.is_error or _says_error(text):
        return text
    return f"Error: {text}" if text else "Error"


def _says_error(text: str) -> bool:
    return text.lstrip(" [{<\"'(")[:5].lower() == "error"


def _raw_array(text: str) -> Raw | None:
    data = text.strip().encode("utf-8", "replace")
    if data[:1] != b"[":
        return None
    try:
        msgspec.json.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return Raw(data)
