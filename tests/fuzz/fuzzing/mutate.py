"""Makes a wrong input out of a right one. All that is random comes from the ``Random`` it is given."""

import json
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

from .corpus import Corpus

__all__ = ["Mutator"]

_MARK = "\x01"
"""Begins a text that stands for JSON which Python values cannot say."""
_TWICE = "\x02"
"""Ends a key that is written without it, and so occurs twice."""

_NUMBERS = (
    "0", "-0", "-1", "1", "0.5", "-0.0", "1.0", "3", "255", "4294967296", "9007199254740993", "-9007199254740993",
    "9223372036854775807", "9223372036854775808", "18446744073709551616", "123456789012345678901234567890",
    "1e400", "-1e400", "1e-400", "1E5", "2.50", "1e18", "1e19", "9" * 400, "9" * 5000, "0." + "3" * 400,
)  # fmt: skip
_NO_JSON = ("NaN", "Infinity", "-Infinity", "01", "+1", "1.", ".5", "'x'", "undefined", "", "tru", "[1,]", '{"a":1,}')
_TEXTS = (
    "", " ", "\n", "\0", "x", "é", "\u2028\u2029", "\ufeff", "😀", "e\u0301" * 9, "\u202e", "null", "true", "[DONE]",
    '"', "\\", '"}{\\', "data: x\n\n", "data:", "data:image/png;base64,", "data:image/png;base64,A",
    "data:;base64,AAAA", "data:text/plain,hi", "data:application/pdf;base64,JVBERi0=", "https://x", "http://[::1",
    "file:///etc/passwd", "AAAA", "AA=", "====", "a-_b", "é" * 50, "9007199254740993", "1e999", "-1", "{}", "[]",
    '{"a":1', '{"a":9007199254740993}', '{"a":1}{', "\ud800", "\udc00\ud800", "\x7f\x80", "__proto__", "constructor",
    "asgi-llm.v1.", "asgi-llm.v1.AAAA", "x-anthropic-billing-header: a", "<system-reminder>", "x" * 300,
)  # fmt: skip
_RAW_TEXTS = (
    rb'"\ud800"', rb'"\udc00x"', rb'"\ud83d\ude00"', rb'"\u0000"', b'"\xff\xfe"', b'"\xc3"', b'"\xed\xa0\x80"',
    b'"\xf4\x90\x80\x80"', b'"\xc0\x80"', b'"\n"', rb'"\x41"', rb'"\u12"', b'"a', rb'"\/"', b'"\xe2\x80\xa8"',
)  # fmt: skip
_DEPTHS = (3, 20, 60, 100, 150, 200, 300, 450, 600, 800, 950, 1200, 3000, 20_000)
_BYTES = (
    b"\xff",
    b"\x00",
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\\",
    b"\n",
    b"\r",
    b" ",
    b"\xef\xbb\xbf",
    b"9",
    b"e",
)
_LINE_ENDS = (b"\r\n", b"\r", b"\n")

Slot = tuple[Any, Any, str]
"""A list or an object, the place in it, and the name of such places in the corpus."""


class Mutator:
    """Wrong inputs from the words of one corpus; now and then a large one, which shows what grows faster than its
    input."""

    def __init__(self, corpus: Corpus, random: Random) -> None:
        self._corpus = corpus
        self._random = random
        self._raw: list[bytes] = []
        self._name = ""
        """What the corpus calls the place that is being changed."""

    def json(self, seed: bytes) -> bytes:
        """``seed`` (JSON), changed in a few places and rarely also in its bytes."""
        random = self._random
        if random.random() < 0.005:
            return self._dump(self._any_value())
        try:
            value = json.loads(seed)
        except (ValueError, RecursionError):
            return self.raw(seed)
        for _ in range(_few(random)):
            value = self._change(value)
        data = self._dump(value)
        return self.raw(data) if random.random() < 0.08 else data

    def raw(self, data: bytes) -> bytes:
        """``data`` with a few bytes changed, put in, taken out or cut off."""
        random = self._random
        for _ in range(_few(random)):
            at = random.randrange(len(data) + 1)
            to = min(len(data), at + random.choice((1, 1, 2, 8, 64, 400)))
            match random.randrange(6):
                case 0:
                    data = data[:at] + random.choice(_BYTES) + data[at:]
                case 1:
                    data = data[:at] + data[to:]
                case 2:
                    data = data[:at] + bytes([random.randrange(256)]) + data[at + 1 :]
                case 3:
                    data = data[:to] + data[at:]
                case 4 if random.random() < 0.3:
                    data = data[:at]
                case _:
                    data = data[:at] + random.choice(_BYTES) + data[at + 1 :]
        return data

    def stream(self, seed: bytes) -> bytes:
        """A stream with events changed, dropped, repeated, moved, or taken from another stream."""
        random = self._random
        events = [event for event in seed.replace(b"\r\n", b"\n").split(b"\n\n") if event]
        for _ in range(_few(random)):
            self._change_events(events)
        data = b"".join(event + b"\n\n" for event in events)
        match random.randrange(40):
            case 0 | 1:
                data = data.replace(b"\n", random.choice(_LINE_ENDS))
            case 2 | 3:
                data = data[: random.randrange(len(data) + 1)]
            case 4 | 5 | 6:
                data = self.raw(data)
            case 7:
                data = b"\xef\xbb\xbf" + data
            case 8:
                data = b"".join(self._spread(line) for line in data.splitlines(keepends=True))
            case 9:
                data = data.rstrip(b"\n")
        return data

    def array(self, seed: bytes) -> bytes:
        """The data of a stream's events as one JSON array, changed."""
        found = [line[6:] for line in seed.split(b"\n") if line.startswith(b"data: {")]
        data = b"[" + self._random.choice((b",", b",\r\n", b"\n,\n")).join(self.json(item) for item in found) + b"]"
        return self.raw(data) if self._random.random() < 0.3 else data

    def cuts(self, data: bytes) -> list[bytes]:
        """``data`` in pieces, as a network may deliver it; some of them empty."""
        random = self._random
        if len(data) < 600 and random.random() < 0.05:
            return [data[at : at + 1] for at in range(len(data))]
        count = random.choice((0, 1, 2, 3, 8, 20))
        places = sorted(random.randrange(len(data) + 1) for _ in range(count))
        return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]

    # Places

    def _change(self, value: Any) -> Any:
        slots = _slots(value)
        if not slots or self._random.random() < 0.01:
            return self._any_value()
        random = self._random
        inside, at, self._name = random.choice(slots)
        random.choice(_WAYS)(self, slots, inside, at)
        return value

    def _replace(self, _slots: list[Slot], inside: Any, at: Any) -> None:
        inside[at] = self._any_value()

    def _familiar(self, _slots: list[Slot], inside: Any, at: Any) -> None:
        """What stands in such a place elsewhere."""
        inside[at] = self._under(self._name)

    def _delete(self, _slots: list[Slot], inside: Any, at: Any) -> None:
        del inside[at]

    def _repeat(self, _slots: list[Slot], inside: Any, at: Any) -> None:
        if isinstance(inside, list):
            inside.insert(at, _copy(inside[at]))
        else:
            inside[at + _TWICE] = self._any_value() if self._random.random() < 0.5 else self._under(at)

    def _swap(self, slots: list[Slot], inside: Any, at: Any) -> None:
        other, place, _ = self._random.choice(slots)
        mine, theirs = _copy(inside[at]), _copy(other[place])
        inside[at], other[place] = theirs, mine

    def _rename(self, _slots: list[Slot], inside: Any, at: Any) -> None:
        if isinstance(inside, dict):
            inside[self._random.choice(self._corpus.keys)] = inside.pop(at)

    def _add(self, _slots: list[Slot], inside: Any, _at: Any) -> None:
        name = self._random.choice(self._corpus.keys)
        if isinstance(inside, dict):
            inside[name] = self._under(name) if self._random.random() < 0.7 else self._any_value()
        else:
            inside.insert(self._random.randrange(len(inside) + 1), self._under(name))

    def _retype(self, _slots: list[Slot], inside: Any, at: Any) -> None:
        """The same thing as another type: in a list, in an object, as text, as nothing."""
        value = inside[at]
        wrapped: tuple[Any, ...] = (
            [value],
            {"": value},
            {"type": value},
            {"text": value},
            [value, value],
            None,
            str(value),
        )
        inside[at] = _copy(self._random.choice(wrapped))

    def _text(self, _slots: list[Slot], inside: Any, at: Any) -> None:
        value = inside[at]
        if isinstance(value, str):
            place = self._random.randrange(len(value) + 1)
            inside[at] = value[:place] + self._any_text() + value[place + self._random.choice((0, 0, 1, 100)) :]
        elif isinstance(value, int | float):
            inside[at] = self._written(self._random.choice(_NUMBERS).encode())

    def _shuffle(self, _slots: list[Slot], inside: Any, _at: Any) -> None:
        if isinstance(inside, list):
            self._random.shuffle(inside)
        else:
            items = list(inside.items())
            self._random.shuffle(items)
            inside.clear()
            inside.update(items)

    def _nest(self, _slots: list[Slot], inside: Any, at: Any) -> None:
        random = self._random
        key = json.dumps(random.choice(self._corpus.keys))
        opening, closing = random.choice([("[", "]"), ('{"a":', "}"), ("{" + key + ":", "}"), ("[{" + key + ":", "}]")])
        depth = min(random.choice(_DEPTHS), 100_000 // len(opening))
        with suppress(ValueError):
            inside[at] = self._written((opening * depth + json.dumps(inside[at]) + closing * depth).encode())

    def _many(self, _slots: list[Slot], inside: Any, at: Any) -> None:
        """So much of it that work growing faster than the input is seen."""
        if self._random.random() > 0.03:
            return self._text(_slots, inside, at)
        size = max(len(json.dumps(inside[at])), 1)
        times = max(min(200_000 // size, 5000), 1)
        if isinstance(inside, list):
            inside[at:at] = [inside[at]] * times
        elif isinstance(inside[at], str):
            inside[at] = inside[at] * times
        elif isinstance(inside[at], dict):
            inside[at] = {f"{key}{n}": value for n in range(min(times, 300)) for key, value in inside[at].items()}
        else:
            inside[at] = [inside[at]] * times
        return None

    # Values

    def _under(self, name: str) -> Any:
        known = self._corpus.under.get(name) or self._corpus.under[self._random.choice(self._corpus.keys)]
        return json.loads(self._random.choice(known))

    def _any_value(self) -> Any:
        random = self._random
        match random.randrange(14):
            case 0 | 1:
                return None
            case 2:
                return random.random() < 0.5
            case 3 | 4:
                return self._written(random.choice(_NUMBERS).encode())
            case 5 | 6:
                return self._any_text()
            case 7:
                return [] if random.random() < 0.5 else {}
            case 8:
                return [self._any_text(), self._under(random.choice(self._corpus.keys))]
            case 9:
                return {random.choice(self._corpus.keys): self._under(random.choice(self._corpus.keys))}
            case 10:
                return self._written(random.choice(_RAW_TEXTS))
            case 11 if random.random() < 0.2:
                return self._written(random.choice(_NO_JSON).encode())
        return self._under(random.choice(self._corpus.keys))

    def _any_text(self) -> str:
        return self._random.choice(_TEXTS) if self._random.random() < 0.8 else self._random.choice(self._corpus.keys)

    def _written(self, raw: bytes) -> str:
        """Stands for the bytes of a value until the whole is written."""
        self._raw.append(raw)
        return f"{_MARK}{len(self._raw) - 1}{_MARK}"

    def _dump(self, value: Any) -> bytes:
        random = self._random
        plain = random.random() < 0.8
        text = json.dumps(
            value, ensure_ascii=plain, separators=random.choice(((",", ":"), (", ", ": "), (" ,\n", " : ")))
        )
        data = text.encode("utf-8", "surrogatepass").replace(b"\\u0002", b"")
        # What was put in last may hold what was put in before.
        for number in range(len(self._raw) - 1, -1, -1):
            mark = b"\\u0001%d\\u0001" % number
            if mark in data:
                data = data.replace(b'"%b"' % mark, self._raw[number]).replace(mark, b"?")
        self._raw.clear()
        return data

    # Streams

    def _change_events(self, events: list[bytes]) -> None:
        random = self._random
        if not events:
            events.append(b"data: {}")
        at = random.randrange(len(events))
        match random.randrange(12):
            case 0:
                del events[at]
            case 1:
                events.insert(random.randrange(len(events) + 1), events[at])
            case 2:
                events.insert(random.randrange(len(events)), events.pop(at))
            case 3:
                other = random.choice(self._corpus.streams).split(b"\n\n")
                events.insert(at, random.choice(other) or b":")
            case 4:
                events.insert(at, random.choice(_NOISE))
            case 5:
                name = random.choice((b"error", b"message_stop", b"response.completed", b"x", b""))
                events[at] = b"event: " + name + b"\ndata" + events[at].rpartition(b"\ndata")[2].removeprefix(b"data")
            case 6 if random.random() < 0.03:
                events[at:at] = [events[at]] * min(3000, 200_000 // (len(events[at]) + 1))
            case 7 if random.random() < 0.3:
                events[at] = events[at] + b"\n" + events[random.randrange(len(events))]
            case _:
                head, mark, data = events[at].rpartition(b"data: ")
                events[at] = head + mark + self.json(data).replace(b"\n", b"")

    def _spread(self, line: bytes) -> bytes:
        """A data line as several, which readers join again."""
        if not line.startswith(b"data: ") or b', "' not in line:
            return line
        return line.replace(b', "', b',\ndata: "', self._random.randrange(1, 4))


_NOISE = (
    b": comment", b"data:", b"data", b"data: ", b"data: [DONE]", b"data: null", b"data: []", b"data: {}",
    b'data: "x"', b"data: 1", b"data: {", b"data: \xff", b"event: ping", b"event: error\ndata: {}",
    b"event: error\ndata: x", b'data: {"error":null}', b'data: {"error":"x"}',
    b'data: {"error":{"message":"m","code":429}}', b'data: {"type":"error"}', b"retry: 5", b"id: 1\ndata: {}",
    b"<html>", b'data: {"type":"ping"}', b"data: " + b"[" * 3000, b"data: " + b'{"a":' * 400 + b"1" + b"}" * 400,
    b"\0", b'data: [{"error":{}}]',
)  # fmt: skip

_WAYS: tuple[Callable[[Mutator, list[Slot], Any, Any], None], ...] = (
    Mutator._replace, Mutator._replace, *[Mutator._familiar] * 6, Mutator._text, Mutator._delete,
    Mutator._delete, Mutator._repeat, Mutator._swap, Mutator._rename, Mutator._add, Mutator._add, Mutator._retype,
    Mutator._text, Mutator._shuffle, Mutator._nest, Mutator._many,
)  # fmt: skip


def _few(random: Random) -> int:
    return random.choice((1, 1, 1, 1, 2, 2, 4))


def _slots(value: Any) -> list[Slot]:
    """Every place inside ``value``."""
    found: list[Slot] = []
    waiting: list[tuple[Any, str]] = [(value, "")]
    while waiting:
        one, name = waiting.pop()
        if isinstance(one, dict):
            found += [(one, key, key) for key in one]
            waiting += [(item, key) for key, item in one.items()]
        elif isinstance(one, list):
            found += [(one, place, f"{name}[]") for place in range(len(one))]
            waiting += [(item, f"{name}[]") for item in one]
    return found


def _copy(value: Any) -> Any:
    return json.loads(json.dumps(value)) if isinstance(value, dict | list) else value
