"""What the settings of the store lead to."""

from typing import Any

import pytest

from asgi_llm import ConfigError, Gateway
from asgi_llm.settings import Settings

ECHO = {"targets": {"echo": {"provider": "echo"}}}


def problem(**store: Any) -> str:
    with pytest.raises(ConfigError) as raised:
        Settings.load({**ECHO, "store": store})
    return str(raised.value.problems[0])


@pytest.mark.parametrize(
    "url",
    [
        "memory:",
        "django",
        "sqlite:///llm.db",
        "sqlite:////var/lib/llm.db",
        "postgresql://user:secret@db.example/llm",
        "postgres://db/llm",
    ],
)
def test_these_addresses_are_stores(url: str) -> None:
    settings = Settings.load({**ECHO, "store": {"url": url}})
    assert settings.store.address == url
    assert settings.store.durable == (url != "memory:")
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    "url",
    ["", "redis://localhost", "mysql://a/b", "sqlite://", "sqlite:///", "sqlite:///:memory:", "postgresql://host"],
)
def test_these_are_none(url: str) -> None:
    assert problem(url=url).startswith("store.url: must")


def test_unknown_settings_are_refused() -> None:
    assert problem(urls="memory:") == 'store.urls: is not a setting; did you mean "url"?'


def test_a_missing_extra_is_said_when_the_gateway_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asgi_llm.stores.opening.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'store\.url: sqlite needs an extra: pip install "asgi-llm\[sql\]"'):
        Gateway({**ECHO, "store": {"url": "sqlite:///llm.db"}})


async def test_a_gateway_opens_its_database_in_each_loop_and_connects_to_nothing(tmp_path: Any) -> None:
    pytest.importorskip("sqlalchemy")
    file = tmp_path / "llm.db"
    gateway = Gateway({**ECHO, "store": {"url": f"sqlite:///{file}"}})
    async with gateway.running():
        database = gateway.runtime().database
        assert database is not None
        assert database.kind == "sqlite"
    assert not file.exists()
    assert Gateway(ECHO).runtime().database is None
