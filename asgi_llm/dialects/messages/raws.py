"""Raw JSON that may be absent. msgspec takes ``Raw`` by itself only (no unions), so absence is the text ``null``."""

from msgspec import Raw

__all__ = ["NULL", "given"]

NULL = Raw(b"null")


def given(raw: Raw) -> Raw | None:
    """The raw JSON, or None where it is absent or null."""
    return None if raw == NULL else raw
