"""The page about endpoints says what there is."""

from pathlib import Path

import pytest

from asgi_llm.dialects.forwarded import FORWARDED
from asgi_llm.providers.registry import PROVIDERS

PAGE = Path(__file__).parents[2] / "docs" / "endpoints.md"


def row(name: str, path: str, methods: frozenset[str], others: tuple[str, ...]) -> str:
    places = ", ".join(f"`{place}`" for place in (path, *others))
    serving = [provider for provider, record in PROVIDERS.items() if name in record.endpoints]
    return f"| `{name}` | {' '.join(sorted(methods))} {places} | {', '.join(serving)} |"


@pytest.mark.skipif(not PAGE.exists(), reason="the docs are not beside the tests here")
def test_the_table_is_that_of_the_records() -> None:
    text = PAGE.read_text(encoding="utf-8")
    table = text.partition("<!-- table -->\n")[2].partition("\n<!-- end -->")[0]
    rows = [row(item.name, item.path, item.methods, item.others) for item in FORWARDED]
    assert table.splitlines() == ["| endpoint | | providers |", "|---|---|---|", *rows]
