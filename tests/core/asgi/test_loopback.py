"""A gateway open to this machine is not open to the pages its browser shows."""

import pytest

from asgi_llm import Gateway
from asgi_llm.asgi.loopback import LoopbackOnly, is_loopback
from asgi_llm.testing import ASGIDriver


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "LOCALHOST", "localhost.", "::1", "[::1]"])
def test_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "10.0.0.1", "localhost.example.org", "127.0.0.1.example.org", "", "127.1"]
)
def test_others(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "127.0.0.1:8000"}, 200),
        ({"host": "localhost"}, 200),
        ({"host": "[::1]:8000"}, 200),
        ({"host": "127.0.0.1:8000", "origin": "http://localhost:3000"}, 200),
        ({"host": "rebound.example.org:8000"}, 403),
        ({"host": ""}, 403),
        ({"host": "[::1"}, 403),
        ({"host": "127.0.0.1:8000", "origin": "https://example.org"}, 403),
        ({"host": "127.0.0.1:8000", "origin": "null"}, 403),
    ],
)
async def test_requests_by_host_and_origin(headers: dict[str, str], status: int) -> None:
    driver = ASGIDriver(LoopbackOnly(Gateway({"targets": {"echo": {"provider": "echo"}}}).asgi))
    exchange = await driver.request("GET", "/health", headers)
    assert (await exchange.start()).status == status
    assert (await exchange.json()).keys() == ({"status"} if status == 200 else {"error"})


async def test_the_lifespan_passes() -> None:
    gateway = Gateway({"targets": {"echo": {"provider": "echo"}}})
    async with ASGIDriver(LoopbackOnly(gateway.asgi)).lifespan():
        assert gateway.runtime().users == 1
