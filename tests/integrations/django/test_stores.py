"""The stores in the project's database do what every such store does, on SQLite and PostgreSQL."""

import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache

sys.path.insert(0, str(Path(__file__).parent))

from suites import cases_in

from asgi_llm_django.stores.answers import CachedAnswers
from asgi_llm_django.stores.desk import Desk
from asgi_llm_django.stores.keys import ORMKeys
from asgi_llm_django.stores.ledger import ORMLedger
from asgi_llm_django.stores.quotas import ORMQuotas
from asgi_llm_django.stores.responses import ORMResponses
from asgi_llm_django.stores.signatures import ORMSignatures

DESK = Desk(threads=5, timeout=60)


def behaviour(name: str, given: str, made: Any) -> type:
    """A class of all tests in the suite of that name that are given a store, as ``given``."""

    @pytest.fixture
    def store(self: Any, database: str) -> Any:
        return made(DESK)

    return type(f"Test{name.title()}", (), {given: store, **cases_in(f"core/stores/test_{name}.py", (given,))})


TestKeys = behaviour("keys", "store", ORMKeys)
TestLedger = behaviour("ledger", "ledger", ORMLedger)
TestQuotas = behaviour("quotas", "store", ORMQuotas)
TestResponses = behaviour("responses", "store", ORMResponses)
TestSignatures = behaviour("signatures", "store", ORMSignatures)


class TestAnswers:
    """In the project's cache."""

    @pytest.fixture
    def answers(self) -> CachedAnswers:
        cache.clear()
        return CachedAnswers()

    vars().update(cases_in("core/stores/test_answers.py", ("answers",)))
