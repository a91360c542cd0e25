"""HTTP towards upstreams: one client a worker, behind the one interface in ``interface.py``.

``http1.py`` is the hot path (HTTP/1.1 on asyncio and httptools), ``httpx.py`` the second backend for what the first
leaves out (proxies, HTTP/2, SOCKS, transports of the user's own). Both raise ``UpstreamError`` only.
"""
