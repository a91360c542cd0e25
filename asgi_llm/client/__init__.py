"""Calls from within the application: the same way of a request as over a socket, without the socket.

``bridge.py`` stands between an ASGI application and whoever reads its answer piece by piece; ``call.py`` makes the
request; ``transport.py`` is what clients of httpx's kind take, ``thread.py`` the event loop for code that has none,
``chat.py`` the short calls. No policy lives here.
"""
