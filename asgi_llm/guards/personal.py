"""Finds personal data, by what libraries know of it: telephone numbers of every country (phonenumbers), cards and bank
accounts by their check digits (python-stdnum), so that other numbers are left alone."""

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from asgi_llm.settings import PersonalGuardSettings

from .finding import Find, Finding

__all__ = ["installed", "personal_finder"]

_Spans = Callable[[str], Iterator[tuple[int, int]]]

_EMAIL = re.compile(r"\b[\w.!#$%&'*+/=?^`{|}~-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}\b")
_CARD = re.compile(r"(?<![\d-])\d(?:[ -]?\d){11,18}(?![\d-])")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}\b")
_IP = re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f:]{2,39}:[0-9A-Fa-f:.]{1,39})(?![\w.:]*\w)")


def installed() -> bool:
    return find_spec("phonenumbers") is not None and find_spec("stdnum") is not None


def personal_finder(settings: PersonalGuardSettings) -> Find:
    """Imports the libraries; a telephone number's country is loaded when it is first met."""
    finders: list[tuple[_Spans, str | None]] = []
    for kind in settings.find:
        replacement = settings.replacement.replace("{kind}", kind) if settings.action == "redact" else None
        finders.append((_FINDERS[kind](settings.region), replacement))

    def find(text: str) -> Sequence[Finding]:
        found = [Finding(*span, replacement) for spans, replacement in finders for span in spans(text)]
        return sorted(found, key=lambda finding: finding.start)

    return find


def _emails(_region: str) -> _Spans:
    return lambda text: (match.span() for match in _EMAIL.finditer(text)) if "@" in text else iter(())


def _phones(region: str) -> _Spans:
    library: Any = import_module("phonenumbers")

    def spans(text: str) -> Iterator[tuple[int, int]]:
        for match in library.PhoneNumberMatcher(text, region):
            yield match.start, match.end

    return spans


def _cards(_region: str) -> _Spans:
    return _checked(_CARD, import_module("stdnum.luhn").is_valid)


def _ibans(_region: str) -> _Spans:
    return _checked(_IBAN, import_module("stdnum.iban").is_valid)


def _checked(pattern: re.Pattern[str], is_valid: Callable[[str], bool]) -> _Spans:
    def spans(text: str) -> Iterator[tuple[int, int]]:
        for match in pattern.finditer(text):
            if is_valid(re.sub(r"[ -]", "", match.group())):
                yield match.span()

    return spans


def _addresses(_region: str) -> _Spans:
    def spans(text: str) -> Iterator[tuple[int, int]]:
        for match in _IP.finditer(text):
            try:
                ipaddress.ip_address(match.group())
            except ValueError:
                continue
            yield match.span()

    return spans


_FINDERS: dict[str, Callable[[str], _Spans]] = {
    "email": _emails,
    "phone": _phones,
    "card": _cards,
    "iban": _ibans,
    "ip": _addresses,
}
