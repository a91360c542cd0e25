"""A short run of the fuzzer (``tox -e fuzz`` is the long one), and that it sees what it is there to see."""

from collections.abc import Callable
from dataclasses import replace
from random import Random, getrandbits
from typing import Any

import pytest
from fuzzing import targets
from fuzzing.corpus import DIALECTS, corpus_of
from fuzzing.targets import Input
from run import made, shown, wrong_with

from asgi_llm.dialects import interface
from asgi_llm.dialects.interface import Dialect
from asgi_llm.errors import AsgiLLMError, Kind, PolicyError

COUNT = 800
SEED = 0


@pytest.fixture(scope="module", autouse=True)
def everything_read() -> None:
    targets.warm_up()


@pytest.fixture(autouse=True)
def random_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fuzzer numbers the ids that are minted; the tests that follow get theirs back."""
    monkeypatch.setattr(interface, "getrandbits", getrandbits)


@pytest.mark.once
@pytest.mark.parametrize("dialect", DIALECTS)
def test_inputs_that_are_nearly_right(dialect: str) -> None:
    for index in range(COUNT):
        given = made(dialect, SEED, index)
        wrong = wrong_with(dialect, given)
        assert wrong is None, f"--dialect {dialect} --seed {SEED} --index {index}\n{shown(given)}\n{wrong}"


@pytest.mark.once
def test_an_input_is_made_of_seed_dialect_and_index_alone() -> None:
    assert made("chat", 1, 2) == made("chat", 1, 2)
    assert made("chat", 1, 2) != made("chat", 1, 3)
    assert made("chat", 1, 2) != made("chat", 2, 2)


def sound(kind: str, dialect: str) -> Input:
    corpus = corpus_of(dialect)
    seeds = {"request": corpus.requests, "answer": corpus.answers, "stream": corpus.streams, "usage": corpus.usages}
    return Input(kind, seeds[kind][0])


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("kind", ["request", "answer", "stream", "usage"])
def test_what_is_right_passes(kind: str, dialect: str) -> None:
    assert wrong_with(dialect, sound(kind, dialect)) is None


def _raises(*_: Any) -> Any:
    raise KeyError("oops")


def _refuses(*_: Any) -> Any:
    raise PolicyError("no", kind=Kind.PERMISSION, code="no")


def _never_ends(*_: Any) -> Any:
    while True:
        pass


class _Mute:
    """An encoder of streams that forgets the end."""

    def __init__(self, _answer: Any) -> None: ...

    def feed(self, _events: Any) -> bytes:
        return b""

    def keepalive(self) -> bytes:
        return b""


def _rounds(dialect: Dialect) -> Callable[..., Any]:
    def encode(*told: Any) -> Any:
        encoded = dialect.encode_request(*told)
        return interface.Encoded(encoded.body.replace(b"}", b',"x":9007199254740992.0}', 1))

    return encode


@pytest.mark.parametrize(
    ("kind", "broken", "said"),
    [
        ("request", {"decode_request": _raises}, "KeyError"),
        ("request", {"decode_request": _refuses}, "PolicyError"),
        ("request", {"decode_request": _never_ends}, "TooSlowError"),
        ("request", {"encode_request": _rounds(DIALECTS["chat"])}, "exact value"),
        ("answer", {"decode_response": _raises}, "KeyError"),
        ("answer", {"stream_encoder": _Mute}, "AssertionError"),
        ("stream", {"stream_encoder": _Mute}, "AssertionError"),
        ("stream", {"watcher": _raises}, "KeyError"),
        ("usage", {"usage": _raises}, "KeyError"),
    ],
)
def test_a_defect_is_seen(kind: str, broken: Any, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = sound(kind, "chat")
    monkeypatch.setitem(DIALECTS, "chat", replace(DIALECTS["chat"], **broken))
    assert said in (wrong_with("chat", given) or "")


def test_mutations_reach_far_into_the_dialects() -> None:
    """Most inputs are still read: what is refused at the door finds nothing."""
    for dialect in DIALECTS.values():
        corpus, random, read = corpus_of(dialect.name), Random(1), 0
        for _ in range(200):
            data = targets.Mutator(corpus, random).json(random.choice(corpus.requests))
            try:
                dialect.decode_request(data)
            except AsgiLLMError:
                continue
            read += 1
        assert read > 75, dialect.name
