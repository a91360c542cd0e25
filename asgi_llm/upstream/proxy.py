"""What proxies and HTTP/2 need, checked where settings are read and where a client is made. Imports no backend."""

import importlib.util

from .interface import ClientOptions

__all__ = ["check_options"]


def check_options(options: ClientOptions) -> None:
    """
    Raises:
        ValueError: the proxy's address cannot be one, or a package is missing.
    """
    if options.http2 and importlib.util.find_spec("h2") is None:
        raise ValueError("HTTP/2 needs the package h2: install asgi-llm[http2]")
    if options.proxy is None:
        return
    scheme = options.proxy.partition("://")[0]
    if scheme not in ("http", "https", "socks5", "socks5h"):
        raise ValueError("a proxy's URL must begin with http://, https://, socks5:// or socks5h://")
    if scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        raise ValueError("a SOCKS proxy needs the package socksio: install asgi-llm[http2]")
