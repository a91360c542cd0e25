"""What gets lost is what the dialects declare: nothing is declared that no code reports, nothing reported that is not
declared, and the page of losses tells of every dialect."""

import ast
import json
from pathlib import Path

import pytest

import asgi_llm.dialects
from asgi_llm import lossiness
from asgi_llm.dialects.gemini import GEMINI
from asgi_llm.dialects.interface import Dialect
from asgi_llm.dialects.registry import DIALECTS as REGISTERED
from asgi_llm.neutral.request import DialectName

DIALECTS: dict[DialectName, Dialect] = {**REGISTERED, "gemini": GEMINI}
ROOM = Path(asgi_llm.dialects.__file__).parent
CASES = Path(__file__).parent / "cases"
dialects = pytest.mark.parametrize("name", DIALECTS)


def _sources(name: str) -> list[ast.Module]:
    return [ast.parse(path.read_text()) for path in sorted((ROOM / name).glob("*.py")) if path.name != "losses.py"]


def _strings(node: ast.AST) -> set[str]:
    found = (inner.value for inner in ast.walk(node) if isinstance(inner, ast.Constant))
    return {value for value in found if isinstance(value, str)}


def _reported(name: str) -> tuple[set[str], set[str]]:
    """The keys by which the code of a dialect reports losses: those it spells out, and those that it may take from
    lists of them, which stand in the function or the module that reports."""
    spelled: set[str] = set()
    listed: set[str] = set()
    for module in _sources(name):
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "lose":
                if keys := _strings(node.args[0]):
                    spelled |= keys
                else:
                    listed |= _strings(module)
    return spelled, listed


@dialects
def test_every_declared_loss_is_reported_somewhere(name: DialectName) -> None:
    spelled, listed = _reported(name)
    assert DIALECTS[name].losses.keys() - spelled - listed == set()


@dialects
def test_every_reported_loss_is_declared(name: DialectName) -> None:
    spelled, _ = _reported(name)
    assert spelled
    assert spelled - DIALECTS[name].losses.keys() == set()


@dialects
def test_the_warnings_of_the_golden_files_are_declared(name: DialectName) -> None:
    """With what happens to each. Fields that only the caller's API knows have names of the caller's."""
    declared = {f"{loss.field};{loss.action}" for loss in DIALECTS[name].losses.values()}
    seen: set[str] = set()
    for path in sorted(CASES.glob(f"*-{name}/*/warnings.json")):
        seen.update(json.loads(path.read_text()))
    theirs = {warning for warning in seen if warning.endswith(";warn") and warning not in declared}
    config = {"generationConfig.mediaResolution;warn", "generationConfig.speechConfig;warn"}
    assert theirs <= {*config, "prediction;warn", "safetySettings;warn"}
    assert len(seen & declared) >= 4
    assert seen - theirs <= declared


@dialects
def test_the_page_can_tell_of_every_dialect(name: DialectName, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lossiness, "DIALECTS", DIALECTS)
    *_, section = lossiness.page().partition(f"## Towards {lossiness._NAMES[name]}\n")
    rows = section.partition("\n## ")[0]
    for loss in DIALECTS[name].losses.values():
        assert f"| `{loss.field}` | {loss.action} | {loss.note} |" in rows
