"""The page of losses is what the code declares."""

from pathlib import Path

import pytest

from asgi_llm.lossiness import page

PAGE = Path(__file__).parents[2] / "docs" / "lossiness.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run: python -m asgi_llm.lossiness > docs/lossiness.md"


@pytest.mark.parametrize("dialect", ["Chat Completions", "Messages", "Responses"])
def test_every_dialect_has_its_section(dialect: str) -> None:
    assert f"## Towards {dialect}\n" in page()
