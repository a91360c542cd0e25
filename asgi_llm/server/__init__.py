"""HTTP/1.1 for uvicorn, at half the cost of its own: ``uvicorn --http asgi_llm.server:Protocol main:app``.

uvicorn stays the server: sockets, TLS, processes, signals, lifespan, WebSockets. ``protocol.py`` is a caller's
connection and decides what runs when; ``cycle.py`` is one request on it and its answer, as ASGI wants them. Requests
are framed by httptools, except those whose head is like the last one of their connection (``head.py``); answers
in ``answer.py``. ``run.py`` runs an application with all this. Nothing here knows of a gateway: any ASGI application
may be behind it.
"""

from .protocol import Protocol

__all__ = ["Protocol"]
