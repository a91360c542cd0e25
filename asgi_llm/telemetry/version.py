"""Who says so: the name and version under which metrics and spans are made."""

from importlib.metadata import PackageNotFoundError, version

__all__ = ["SCOPE", "scope_version"]

SCOPE = "asgi_llm"


def scope_version() -> str:
    try:
        return version("asgi-llm")
    except PackageNotFoundError:  # run from a source tree
        return "0"
