"""The wire dialects, sans-I/O: bytes in, values out, and back. No clock, no logging, no settings, no ``await``.

Each dialect is a folder with the same files: ``request.py``, ``response.py``, ``stream.py``, ``errors.py`` (each both
directions), ``losses.py`` (what it cannot say). None imports another; they meet in ``neutral`` only.
``interface.py`` says what a dialect must offer, ``sse.py`` frames event streams, ``peek.py`` reads what routing needs
without building objects, ``splice.py`` edits bytes in place.
"""
