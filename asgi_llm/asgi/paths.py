"""Where in the gateway a request points, whatever the host's convention."""

from asgi_llm.types import Scope

__all__ = ["local_path"]


def local_path(scope: Scope) -> str | None:
    """The path within the mounted gateway, beginning with ``/`` and without a trailing one; None if it is not below
    the mount.

    The ASGI specification, Starlette, FastAPI, Django and uvicorn leave ``root_path`` in ``path``; Litestar takes it
    out and may leave a path without its leading slash when only the beginning of a name matched.
    """
    path: str = scope["path"]
    root: str = scope.get("root_path") or ""
    if root:
        root = root.rstrip("/")
        if root and path.startswith(root) and (len(path) == len(root) or path[len(root)] == "/"):
            path = path[len(root) :]
    if path.endswith("/"):
        path = path.rstrip("/")
    if not path:
        return "/"
    return path if path.startswith("/") else None
