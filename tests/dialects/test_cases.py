"""The golden files: what one dialect says, in the words of another.

``cases/<caller's dialect>-<upstream's dialect>/<name>/`` holds any of these pairs, each checked by hand against the
public API references:

    request.json -> upstream.json       the caller's request, and what the upstream is sent
                    warnings.json       what the caller is told was lost (without the file: nothing)
    answer.json  -> reply.json          the upstream's whole answer, and the caller's
    answer.sse   -> reply.sse           the same for streams
    error.json   -> refusal.json        the upstream's error (status, headers, body), and the caller's (status, body)

A request without ``upstream.json`` cannot be translated: it is answered with ``refusal.json``. ``profile.json`` says
what kind of upstream it is, ``path.txt`` the path of a Gemini caller, who names model and verb there. Ids that are
minted are numbered, the clock stands still.
"""

import json
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from asgi_llm.dialects.gemini import GEMINI
from asgi_llm.dialects.interface import Answer, Dialect, Encoded, Profile, Restore
from asgi_llm.dialects.registry import DIALECTS as REGISTERED
from asgi_llm.dialects.sse import SSEReader
from asgi_llm.errors import AsgiLLMError
from asgi_llm.neutral.request import DialectName, Request, StreamOptions

DIALECTS: dict[DialectName, Dialect] = {**REGISTERED, "gemini": GEMINI}
CASES = Path(__file__).parent / "cases"
NOW = 1_700_000_000
PROVIDERS = {"chat": "openai", "responses": "openai", "messages": "anthropic", "gemini": "gemini"}


class Case:
    """One folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        caller, upstream = folder.parent.name.split("-")
        self.caller: Dialect = DIALECTS[caller]  # type: ignore[index]  # a folder of another name fails here
        self.upstream: Dialect = DIALECTS[upstream]  # type: ignore[index]
        self.request: Request | None = None
        self.restore = Restore()

    def has(self, name: str) -> bool:
        return (self.folder / name).exists()

    def json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text(encoding="utf-8"))

    def body(self, name: str) -> bytes:
        """A JSON file as it comes over the wire, without the white space that makes it readable."""
        return json.dumps(self.json(name), separators=(",", ":"), ensure_ascii=False).encode()

    def encode(self) -> Encoded:
        """The request, translated; what the answer needs of it is kept."""
        self.request = self.decode()
        said = self.json("profile.json") if self.has("profile.json") else {}
        profile = msgspec.convert({"provider": PROVIDERS[self.upstream.name], **said}, Profile)
        encoded = self.upstream.encode_request(self.request, profile)
        self.restore = encoded.restore
        return encoded

    def decode(self) -> Request:
        """The caller's request; of a Gemini caller's, what the path says is put in, as whoever reads the path does."""
        request = self.caller.decode_request(self.body("request.json"))
        if self.caller is not GEMINI:
            return request
        path = (self.folder / "path.txt").read_text().strip() if self.has("path.txt") else "models/m:generateContent"
        model, _, verb = path.removeprefix("models/").rpartition(":")
        on = verb == "streamGenerateContent"
        return msgspec.structs.replace(request, model=model, stream=StreamOptions(on=on))

    def answer(self) -> Answer:
        """What the encoder of the answer is given."""
        if self.has("request.json") and self.request is None:
            self.encode()
        numbers = count(1)
        return Answer(
            model="asked-for",
            include_usage=True,
            request=self.request,
            mint=lambda prefix: f"{prefix}{next(numbers)}",
            now=lambda: float(NOW),
        )


def cases(*names: str) -> Any:
    """The folders that hold all of these files."""
    found = [folder for folder in sorted(CASES.glob("*/*")) if all((folder / name).exists() for name in names)]
    assert found
    ids = [f"{folder.parent.name}/{folder.name}" for folder in found]
    return pytest.mark.parametrize("case", [Case(folder) for folder in found], ids=ids)


def frames(stream: bytes) -> list[tuple[str, Any]]:
    """The events of a stream: name and JSON, or the text where it is none."""
    reader = SSEReader()
    return [(frame.event.decode(), _data(frame.data)) for frame in [*reader.feed(stream), *reader.end()]]


def _data(data: bytes) -> Any:
    return data.decode() if data == b"[DONE]" else json.loads(data)


def translate(case: Case, pieces: Iterable[bytes]) -> bytes:
    decoder, encoder = case.upstream.stream_decoder(case.restore), case.caller.stream_encoder(case.answer())
    written = [encoder.feed(decoder.feed(piece)) for piece in pieces]
    return b"".join([*written, encoder.feed(decoder.end())])


@cases("request.json", "upstream.json")
def test_requests(case: Case) -> None:
    encoded = case.encode()
    assert json.loads(encoded.body) == case.json("upstream.json")
    expected = case.json("warnings.json") if case.has("warnings.json") else []
    assert sorted(f"{warned.field};{warned.action}" for warned in encoded.warnings) == sorted(expected)
    assert case.encode().body == encoded.body


@cases("answer.json", "reply.json")
def test_answers(case: Case) -> None:
    answer = case.answer()
    response = case.upstream.decode_response(case.body("answer.json"), case.restore)
    assert json.loads(case.caller.encode_response(response, answer)) == case.json("reply.json")


@cases("answer.sse", "reply.sse")
def test_streams(case: Case) -> None:
    """However the network cuts the stream, the caller gets the same bytes."""
    stream = (case.folder / "answer.sse").read_bytes()
    case.answer()
    whole = translate(case, [stream])
    assert frames(whole) == frames((case.folder / "reply.sse").read_bytes())
    events = [event + b"\n\n" for event in stream.split(b"\n\n") if event]
    assert translate(case, events) == whole
    assert translate(case, (bytes([byte]) for byte in stream)) == whole


@cases("error.json", "refusal.json")
def test_errors(case: Case) -> None:
    told = case.json("error.json")
    headers = [(name.encode(), value.encode()) for name, value in told.get("headers", {}).items()]
    body = told["body"] if isinstance(told["body"], str) else json.dumps(told["body"])
    error = case.upstream.decode_error(told["status"], headers, body.encode())
    _refused(case, error)


def _refused(case: Case, error: AsgiLLMError) -> None:
    expected = case.json("refusal.json")
    status, body = case.caller.encode_error(error, "req_1")
    assert (status, json.loads(body)) == (expected["status"], expected["body"])
    assert error.retry_after == expected.get("retry_after")


@cases("request.json", "refusal.json")
def test_requests_that_cannot_be_translated(case: Case) -> None:
    assert not case.has("upstream.json")
    with pytest.raises(AsgiLLMError) as caught:
        case.encode()
    _refused(case, caught.value)


def test_every_file_takes_part() -> None:
    partners = {"upstream.json": "request.json", "reply.json": "answer.json", "reply.sse": "answer.sse"}
    partners |= {value: key for key, value in partners.items()}
    for folder in CASES.glob("*/*"):
        names = {path.name for path in folder.iterdir()}
        if "refusal.json" in names:
            assert len(names & {"error.json", "request.json"}) == 1, folder
            continue
        unknown = names - {*partners, "warnings.json", "profile.json", "path.txt"}
        assert not unknown, (folder, unknown)
        answered = {"request.json"} if "answer.json" in names or "answer.sse" in names else set()
        lonely = {name for name in names & set(partners) - answered if partners[name] not in names}
        assert not lonely, (folder, lonely)
