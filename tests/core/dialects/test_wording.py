"""What upstreams say in their errors tells callers of no address and no key, in whichever dialect it was said."""

import json
from typing import Any

import pytest

from asgi_llm.dialects.registry import DIALECTS
from asgi_llm.dialects.wording import line, readable

SAID = (
    "http://10.0.0.3:8000/v1/chat?key=1 refused sk-ant-api03-abcdef123456 (Bearer abc.def), "
    "AIzaSyA1234567890123456789012345678901 too"
)
SHOWN = "[removed] refused [removed] ([removed] [removed] too"


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("error", [{"type": "api_error", "status": "INTERNAL", "message": SAID}, SAID])
def test_no_dialect_shows_addresses_and_keys(dialect: Any, error: Any) -> None:
    found = dialect.decode_error(500, [], json.dumps({"error": error}).encode())
    assert found.message == SHOWN


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.name)
def test_nor_does_a_page(dialect: Any) -> None:
    found = dialect.decode_error(502, [], f"<html><body>{SAID}</body></html>".encode())
    assert "10.0.0.3" not in found.message
    assert "sk-" not in found.message


def test_what_is_long_is_cut() -> None:
    assert len(line("a" * 5000)) == 1603
    assert len(readable(b"<b>" + b"a " * 5000)) == 403
    assert readable(b"<title>Bad  gateway</title>more") == "Bad gateway"
    assert (line(None), line({"why": 1})) == ("", '{"why":1}')
