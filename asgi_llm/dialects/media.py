"""What every dialect demands of media inside a request before it is said in another dialect's words.

Bytes and links are moved as text. A server would refuse what is neither, naming a field that the caller did not write.
"""

import re

__all__ = ["filename_of", "is_base64", "is_link", "is_media_type"]

_BASE64 = re.compile(r"[A-Za-z0-9+/\r\n]*={0,2}[\r\n]*")
_SAMPLE = 64
"""Characters looked at on either end of base64 text; looking at megabytes would cost more than all the rest."""
_ENDINGS = {
    "text/plain": "txt", "text/csv": "csv", "text/html": "html", "text/markdown": "md", "text/xml": "xml",
    "application/json": "json", "application/xml": "xml", "application/rtf": "rtf", "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
}  # fmt: skip
_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+*-]+(?:;[^,;\"]*)*", re.ASCII)


def is_base64(data: str) -> bool:
    """Whether the text is standard base64 that says something, as far as its two ends tell."""
    if not _BASE64.fullmatch(data[:_SAMPLE]) or not _BASE64.fullmatch(data[-_SAMPLE:]):
        return False
    size = len(data)
    if "\n" in data or "\r" in data:  # finding is much faster than counting
        size -= data.count("\n") + data.count("\r")
    return size > 0 and (size % 4 == 0 if "=" in data[-_SAMPLE:] else size % 4 != 1)


def is_link(url: str) -> bool:
    """Whether an upstream could fetch it."""
    return url[:8].lower().startswith(("http://", "https://"))


def is_media_type(text: str) -> bool:
    """Whether the text is a media type, perhaps with parameters; none at all is one that nobody knows."""
    return not text or _MEDIA_TYPE.fullmatch(text) is not None


def filename_of(media_type: str) -> str:
    """A name for a document that came without one. OpenAI goes by the ending, so it must fit what is inside."""
    return f"document.{_ENDINGS.get(media_type.partition(';')[0].strip().lower(), 'pdf')}"
