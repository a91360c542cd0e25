"""The client's side of TLS: whom to trust, and whom to be. What is negotiated inside (ALPN) is for the backends."""

import ssl
import tempfile
from pathlib import Path

__all__ = ["client_context"]

_PEM = "-----BEGIN "


def client_context(
    ca: str | None = None, cert: str | None = None, key: str | None = None, *, verify: bool = True
) -> ssl.SSLContext:
    """A context for connections to an upstream. Reads files; call it outside the event loop.

    Each of ``ca``, ``cert`` and ``key`` is a path or PEM text. ``ca`` replaces the system's authorities; ``cert`` with
    ``key`` (which may be in the same text as ``cert``) is what this side shows. ``verify=False`` trusts anybody.

    Raises:
        ValueError: a file is missing, is no PEM, or the key does not belong to the certificate.
    """
    if key is not None and cert is None:
        raise ValueError("tls.key is given without tls.cert")
    context = ssl.create_default_context() if ca is None else _trusting(ca)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if cert is not None:
        _show(context, cert, key)
    return context


def _trusting(ca: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cadata=_text("tls.ca", ca))
    except ssl.SSLError:
        raise ValueError("tls.ca holds no certificates in PEM form") from None


def _show(context: ssl.SSLContext, cert: str, key: str | None) -> None:
    """OpenSSL takes the client's certificate from files only, so PEM text takes a detour over a private one."""
    text = _text("tls.cert", cert)
    if key is not None:
        text += "\n" + _text("tls.key", key)
    with tempfile.TemporaryDirectory() as folder:
        chain = Path(folder, "chain.pem")
        chain.touch(mode=0o600)
        chain.write_text(text)
        try:
            # A password callback, so that an encrypted key is an error here instead of a prompt on the terminal.
            context.load_cert_chain(chain, password=lambda: "")
        except (ssl.SSLError, ValueError):
            raise ValueError(
                "tls.cert and tls.key must be a certificate and its own unencrypted key, in PEM form"
            ) from None


def _text(name: str, value: str) -> str:
    if _PEM in value:
        return value
    try:
        return Path(value).read_text()
    except (OSError, ValueError):
        raise ValueError(f"{name}: the file cannot be read") from None
