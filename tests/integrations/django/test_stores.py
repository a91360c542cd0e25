"""The stores in the project's database do what every such store does, on SQLite and PostgreSQL."""

import importlib.util
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.core.cache import cache

from asgi_llm_django.stores.answers import CachedAnswers
from asgi_llm_django.stores.desk import Desk
from asgi_llm_django.stores.keys import ORMKeys
from asgi_llm_django.stores.ledger import ORMLedger
from asgi_llm_django.stores.quotas import ORMQuotas
from asgi_llm_django.stores.responses import ORMResponses
from asgi_llm_django.stores.signatures import ORMSignatures

DESK = Desk(threads=5, timeout=60)


def suite(name: str) -> ModuleType:
    path = Path(__file__).parents[2] / "core" / "stores" / f"test_{name}.py"
    spec = importlib.util.spec_from_file_location(f"behaviour_of_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def behaviour(name: str, given: str, made: Any) -> type:
    """A class of all tests in the suite of that name that are given a store, as ``given``."""

    @pytest.fixture
    def store(self: Any, database: str) -> Any:
        return made(DESK)

    found = vars(suite(name)).items()
    tests = {
        title: staticmethod(test)
        for title, test in found
        if title.startswith("test_") and given in inspect.signature(test).parameters
    }
    assert len(tests) > 2
    return type(f"Test{name.title()}", (), {given: store, **tests})


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

    for title, case in vars(suite("answers")).items():
        if title.startswith("test_") and "answers" in inspect.signature(case).parameters:
            vars()[title] = staticmethod(case)
