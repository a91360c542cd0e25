"""Suites of the core, run here over what a Django project brings along instead."""

import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

TESTS = Path(__file__).parents[2]


def suite(path: str) -> ModuleType:
    """A module of tests, by its path below ``tests``."""
    name = f"suite_{path.removesuffix('.py').replace('/', '_')}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, TESTS / path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def cases_in(path: str, given: Iterable[str]) -> dict[str, Callable[..., Any]]:
    """Those of its tests that need no other fixtures than ``given``, and the first of these. They belong in a class.
    Left out is what is for certain stores only, which such a test names as parameters."""
    names = list(given)
    found = {}
    for title, test in vars(suite(path)).items():
        if title.startswith("test_") and names[0] in (wanted := set(inspect.signature(test).parameters)):
            marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
            told = {name.strip() for mark in marks for name in _names(mark.args[0])}
            if names[0] not in told and wanted <= told | set(names):
                found[title] = staticmethod(test)
    assert found, path
    return found


def _names(said: Any) -> list[str]:
    return said.split(",") if isinstance(said, str) else list(said)
