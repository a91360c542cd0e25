"""Streams that pass through unchanged: what is seen of them, and what is taken out."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llm.dialects.chat import CHAT, UsageFilter
from asgi_llm.errors import Cause, Kind

ONE = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"say \\",\\"usage\\":null}"},"finish_reason":null}]'
LAST = ONE.replace(b'"finish_reason":null', b'"finish_reason":"stop"')
COUNTS = b'{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}'
ONLY = b'data: {"id":"x","choices":[],"usage":%b}\n\n' % COUNTS
DONE = b"data: [DONE]\n\n"
ASKED = ONE + b',"usage":null}\n\n' + LAST + b',"usage":null,"obfuscation":"}ab"}\n\n' + ONLY + DONE
UNASKED = ONE + b"}\n\n" + LAST + b',"obfuscation":"}ab"}\n\n' + DONE


def watch(*pieces: bytes):
    watcher = CHAT.watcher()
    for piece in pieces:
        watcher.feed(piece)
    watcher.end()
    return watcher


def hide(*pieces: bytes) -> bytes:
    hidden = UsageFilter()
    return b"".join(hidden.feed(piece) for piece in pieces) + hidden.end()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({0, len(data), *(place % len(data) for place in places)})
    return [data[a:b] for a, b in pairwise(marks)]


def test_usage_finish_and_end_are_seen():
    watcher = watch(ASKED)
    assert watcher.usage is not None
    assert (watcher.usage.input, watcher.usage.output) == (3, 4)
    assert (watcher.ended, watcher.finish, watcher.failure) == (True, "stop", None)


@pytest.mark.parametrize(
    ("data", "ended"),
    [
        (ONE + b"}\n\n", False),
        (LAST + b"}\n\n", True),
        (DONE, True),
        (b'data: {"choices":[{"delta":{"content":"[DONE]"}}]}\n\n', False),
    ],
)
def test_the_end_is_a_finish_or_done_and_not_a_word_of_the_model(data, ended):
    assert watch(data).ended is ended


def test_errors_in_the_stream_are_seen():
    failure = watch(ONE + b"}\n\n", b'data: {"error":{"message":"m","code":529}}\n\n').failure
    assert failure is not None
    assert (failure.cause, failure.kind) == (Cause.IN_BAND, Kind.OVERLOADED)
    assert watch(b'data: {"choices":[],"error":null}\n\n').failure is None
    assert watch(b'data: {"choices":[{"delta":{},"finish_reason":"error"}]}\n\n').failure is not None


def test_spaces_in_json_change_nothing():
    data = json.dumps({"choices": [{"delta": {"content": "a"}, "finish_reason": None}], "usage": None})
    watcher = watch(f"data: {data}\n\n".encode())
    assert not watcher.ended
    assert watcher.usage is None


def test_the_last_event_may_lack_its_blank_line():
    assert watch(ONE + b"}\n\n", LAST + b"}").finish == "stop"


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_it_is_known_whether_a_keepalive_may_be_put_in(line_end):
    watcher, data = CHAT.watcher(), ASKED.replace(b"\n", line_end)
    assert watcher.at_boundary
    for at in range(len(data)):
        watcher.feed(data[at : at + 1])
        assert watcher.at_boundary is data[: at + 1].endswith(line_end * 2)


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_events_pass_as_soon_as_they_are_whole(line_end):
    hidden, data = UsageFilter(), ASKED.replace(b"\n", line_end)
    first = data.index(line_end * 2) + 2 * len(line_end)
    passed = [hidden.feed(data[at : at + 1]) for at in range(first)]
    assert passed[:-1] == [b""] * (first - 1)
    assert passed[-1] == data[:first].replace(b',"usage":null}' + line_end, b"}" + line_end)


@given(st.lists(st.integers(0, 2000), max_size=10), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_any_chunking_is_watched_the_same(places, line_end):
    watcher = watch(*cut(ASKED.replace(b"\n", line_end), places))
    assert watcher.usage is not None
    assert (watcher.usage.input, watcher.ended, watcher.finish) == (3, True, "stop")


def test_a_giant_event_is_not_held():
    watcher = CHAT.watcher()
    for _ in range(64):
        watcher.feed(b"x" * 65536)
        assert sum(map(len, watcher._pieces)) <= 2 * 1024 * 1024 + 65536
    assert not watcher.at_boundary
    watcher.feed(b"\n\n" + ONLY)
    assert watcher.usage is not None
    assert watcher.at_boundary


def test_usage_is_taken_out_and_nothing_else():
    assert hide(ASKED) == UNASKED
    assert hide(UNASKED) == UNASKED


@given(st.lists(st.integers(0, 2000), max_size=10), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_usage_is_taken_out_in_any_chunking(places, line_end):
    assert hide(*cut(ASKED.replace(b"\n", line_end), places)) == UNASKED.replace(b"\n", line_end)


@pytest.mark.parametrize(
    ("event", "left"),
    [
        (b'data: {"usage":null,"choices":[{}]}', b'data: {"choices":[{}]}'),
        (b'data: {"choices":[{}], "usage" : null }', b'data: {"choices":[{}] }'),
        (b'data: {"choices":[{}],"usage":%b,"x":1}' % COUNTS, b'data: {"choices":[{}],"x":1}'),
        (b'data: {"choices":[{}],"usage":%b}' % COUNTS, b'data: {"choices":[{}]}'),
        (
            b'data: {"choices":[],"usage":null,"prompt_filter_results":[]}',
            b'data: {"choices":[],"prompt_filter_results":[]}',
        ),
        (
            b'data: {"choices":[{"usage":null,"a":{"usage":null}}]}',
            b'data: {"choices":[{"usage":null,"a":{"usage":null}}]}',
        ),
        (
            b'data: {"choices":[{"a":1,"usage":null}],"usage":null,"b":"\\""}',
            b'data: {"choices":[{"a":1,"usage":null}],"b":"\\""}',
        ),
        (b'data: "usage"', b'data: "usage"'),
        (b': "usage"', b': "usage"'),
    ],
)
def test_only_the_member_of_the_chunk_is_taken_out(event, left):
    assert hide(event + b"\n\n") == left + b"\n\n"


def test_comments_pass():
    assert hide(b": OPENROUTER PROCESSING\n\n" + ASKED) == b": OPENROUTER PROCESSING\n\n" + UNASKED


def test_a_giant_event_passes_as_it_is_and_the_next_ones_are_edited():
    giant = b'data: {"choices":[],"usage":null,"x":"' + b"x" * (2 * 1024 * 1024) + b'"}\n\n'
    pieces = [giant[at : at + 65536] for at in range(0, len(giant), 65536)]
    assert hide(*pieces, ASKED) == giant + UNASKED


def test_the_reason_is_found_before_a_large_last_event():
    watcher = CHAT.watcher()
    chunk = b'data: {"choices":[{"index":0,"delta":{"content":"word "},"finish_reason":null}]}\n\n'
    finish = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}\n\n'
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2},"more":"%b"}\n\n' % (b"x" * 20_000)
    for data in (*[chunk] * 500, finish, usage[:9000], usage[9000:], *[b": still here\n\n"] * 20):
        watcher.feed(data)
    watcher.end()
    assert watcher.ended
    assert watcher.finish == "length"
    assert watcher.usage is not None
    assert watcher.usage.fresh == 7
