"""What a measurement means, and what is to be done about it. Sans-I/O."""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from .probe import Found

__all__ = ["Finding", "as_json", "as_text", "findings"]

_MARKS = {True: "ok  ", False: "BAD ", None: "?   "}


class Finding(NamedTuple):
    """``sound``: there is nothing to do. None: it could not be told."""

    sound: bool | None
    told: str
    advice: str = ""


def findings(found: Found) -> Iterator[Finding]:
    """In the order in which it is best to look at them."""
    reached = _reached(found)
    yield reached
    if not reached.sound:
        return
    if found.refused is not None:
        yield _refused(found, *found.refused)
        return
    yield _streaming(found)
    if found.arrivals:
        yield _compression(found)
        yield _headers(found)
    yield _bodies(found)
    yield _disconnect(found)
    if found.lifespan is False:
        yield _lifespan()


def as_text(told: list[Finding]) -> str:
    """For people."""
    lines = []
    for finding in told:
        lines.append(f"{_MARKS[finding.sound]}{finding.told}")
        if finding.advice:
            lines.append(f"      {finding.advice}")
    return "\n".join(lines)


def as_json(found: Found, told: list[Finding]) -> str:
    """For programs."""
    said = {"measured": found, "findings": [finding._asdict() for finding in told]}
    return msgspec.json.format(msgspec.json.encode(said)).decode()


def _reached(found: Found) -> Finding:
    if found.reached is None:
        return Finding(
            False, f"{found.url} cannot be reached: {found.trouble}", "Is the server running, and the address right?"
        )
    if 300 <= found.reached < 400:
        return Finding(
            False,
            f"{found.url}/health answers {found.reached}, a redirect",
            "Give the address that it leads to; if that is a login page, let the gateway's prefix pass without one: "
            "it checks its callers itself.",
        )
    if found.reached != 200 or found.page:
        return Finding(
            False,
            f"no gateway answers at {found.url}/health (status {found.reached})",
            "Give the address with the gateway's prefix, as in http://localhost:8000/llm.",
        )
    by = f", behind {found.servers}" if found.servers else ""
    return Finding(True, f"a gateway answers over {found.http}{by}")


def _refused(found: Found, status: int, code: str) -> Finding:
    said = f"the diagnosis was refused with {status} {code}".rstrip()
    if found.foreign:
        return Finding(
            False,
            f"{said}, and not by the gateway",
            "What is in front of it must let its whole prefix pass, and GET on it.",
        )
    if status == 401:
        return Finding(
            False,
            said,
            "Give a key with --key. If that one is right, a proxy takes Authorization and x-api-key out of requests.",
        )
    if status == 404:
        return Finding(
            None, said, 'It is switched off ("diagnose" in endpoints.disable), or the gateway is an older one.'
        )
    return Finding(False, said)


def _streaming(found: Found) -> Finding:
    if found.broke_off or len(found.arrivals) < 2:
        when = f"after {found.arrivals[-1]:.1f} s" if found.arrivals else "before its first event"
        return Finding(
            False,
            f"a stream of one second broke off {when}",
            "Something in front ends answers early: by a time-out "
            f"({_named(found, 'proxy_read_timeout, send_timeout', 'its read time-out')}), by a limit to their size, or "
            "by a failure of its own, which its log has.",
        )
    spread, made = found.arrivals[-1] - found.arrivals[0], found.interval * (len(found.arrivals) - 2)
    first = 1000 * found.arrivals[0]
    if spread < made / 2:
        return Finding(
            False,
            f"streams are buffered: events made within {made:.1f} s arrived within {spread:.1f} s, the first after "
            f"{first:.0f} ms",
            _unbuffer(found),
        )
    return Finding(True, f"streams arrive as they are made, the first event after {first:.0f} ms")


def _unbuffer(found: Found) -> str:
    if "nginx" in found.servers:
        return (
            "In nginx's location of the gateway: proxy_buffering off; and no proxy_ignore_headers X-Accel-Buffering; "
            "proxy_http_version 1.1; gzip off."
        )
    return (
        "Something collects the answer before it passes it on: a proxy (nginx: proxy_buffering off), middleware of the "
        "application that reads whole answers (in Starlette one that waits for body_iterator, in Django one that reads "
        "response.content), or compression of text/event-stream."
    )


def _compression(found: Found) -> Finding:
    if found.encoding and found.encoding != "identity":
        return Finding(
            False,
            f"streams are compressed ({found.encoding})",
            "Leave text/event-stream out of compression "
            f"({_named(found, 'gzip_types', 'the list of types, or the middleware')}): it costs more than it saves, "
            "and often holds events back.",
        )
    return Finding(True, "streams are not compressed")


def _headers(found: Found) -> Finding:
    if found.lost:
        return Finding(
            False,
            f"headers are taken out of requests on their way: {', '.join(found.lost)}",
            f"Pass all headers on ({_named(found, 'proxy_pass_request_headers on', 'look for a list of them')}).",
        )
    return Finding(True, "headers arrive")


def _bodies(found: Found) -> Finding:
    if found.body_refused is None:
        return Finding(True, f"bodies of {found.body // 1_000_000} MB arrive")
    status, size = found.body_refused
    said = f"a body of {size / 1_000_000:.1f} MB was " + (f"refused with {status}" if status else "cut off")
    if found.body_foreign:
        return Finding(
            False,
            f"{said}, and not by the gateway",
            f"Raise the limit ({_named(found, 'client_max_body_size 32m', 'of the proxy or of the application')}): "
            "pictures and long conversations are larger.",
        )
    return Finding(
        None, f"{said} by the gateway itself", "If that is not meant to be, raise limits.body in its settings."
    )


def _disconnect(found: Found) -> Finding:
    if found.disconnect is None:
        return Finding(None, "whether a caller's leaving is heard could not be told: other processes answered")
    if found.disconnect:
        return Finding(True, "a caller's leaving is heard")
    return Finding(
        False,
        "a caller's leaving is not heard, so models go on talking to nobody",
        f"Let it be passed on ({_named(found, 'proxy_ignore_client_abort off', 'by the proxy')}); under WSGI it is "
        "heard only when something is sent: serve the application by ASGI.",
    )


def _lifespan() -> Finding:
    return Finding(
        None,
        "the gateway was started by its first request, not by the application",
        "So the end of the server breaks off what runs then. Where the server has a lifespan (uvicorn, granian and "
        "hypercorn do, daphne does not), run the gateway in the application's: async with gateway.running().",
    )


def _named(found: Found, nginx: str, other: str) -> str:
    return f"nginx: {nginx}" if "nginx" in found.servers else other
