"""Forms read as they pass: the same in any pieces, and as a server of the SDKs would read them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llm.dialects.forwarded.form import FormReader, boundary_of
from asgi_llm.errors import ClientError

httpx = pytest.importorskip("httpx")


def encoded(data: dict[str, str], files: dict[str, Any]) -> tuple[bytes, bytes]:
    """As the SDKs' HTTP library writes it."""
    request = httpx.Request("POST", "http://x/", data=data, files=files)
    return request.read(), request.headers["content-type"].encode()


def read(body: bytes, content_type: bytes, cuts: Any = ()) -> FormReader:
    reader = FormReader(boundary_of(content_type), {"model", "stream"})
    at = 0
    for cut in sorted({*(cut % (len(body) + 1) for cut in cuts), len(body)}):
        reader.feed(body[at:cut])
        at = cut
    return reader


@given(
    model=st.text(min_size=1, max_size=40).filter(lambda text: "\r" not in text),
    content=st.binary(max_size=3000),
    cuts=st.lists(st.integers(0, 10_000), max_size=20),
)
def test_in_any_pieces(model: str, content: bytes, cuts: list[int]) -> None:
    body, content_type = encoded({"model": model, "other": "x" * 2000, "stream": ""}, {"file": ("a.bin", content)})
    reader = read(body, content_type, cuts)
    assert reader.over
    assert {name: field.value for name, field in reader.fields.items()} == {"model": model.encode(), "stream": b""}
    assert all(body[field.start : field.end] == field.value for field in reader.fields.values())


def test_byte_by_byte() -> None:
    body, content_type = encoded({"model": "whisper"}, {"file": ("a.bin", b"\r\n--\r\n\r\n" * 20)})
    reader = read(body, content_type, range(len(body)))
    assert reader.over
    assert reader.fields["model"].value == b"whisper"


@given(body=st.binary(max_size=400), cuts=st.lists(st.integers(0, 400), max_size=5))
def test_nonsense_is_refused_or_has_no_fields(body: bytes, cuts: list[int]) -> None:
    try:
        reader = read(b"--B\r\n" + body, b"multipart/form-data; boundary=B", cuts)
    except ClientError:
        return
    assert set(reader.fields) <= {"model", "stream"}


PART = b"--B\r\nContent-Disposition: form-data; %b\r\n\r\nm\r\n--B--\r\n"


@pytest.mark.parametrize(
    "names",
    [
        b'name="model"',
        b"name=model",
        b'NAME = "model"',
        b'filename="x"; name="model"',
        b'name="mo\\del"',
        b'name="m%6Fdel"',
    ],
)
def test_a_name_is_read_however_it_is_written(names: bytes) -> None:
    assert read(PART % names, b'multipart/form-data; charset=x; boundary="B"').fields["model"].value == b"m"


@pytest.mark.parametrize(
    "body",
    [
        PART % b"title=x",
        PART % b'name="a"; name="model"',
        PART % b"name*=utf-8''model",
        PART.replace(b"form-data", b"attachment") % b'name="model"',
        PART % b'name="a"\r\nContent-Disposition: form-data; name="model"',
        b"--Bx\r\n\r\n",
        b"--B\r\n" + b"a" * 20_000,
        (b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * 1001),
        (PART % b'name="model"')[:-7] + PART % b'name="model"',
        PART.replace(b"\r\nm\r\n", b"\r\n" + b"m" * 3000 + b"\r\n") % b'name="model"',
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(body: bytes) -> None:
    with pytest.raises(ClientError):
        read(body, b"multipart/form-data; boundary=B")


@pytest.mark.parametrize("content_type", [b"", b"text/plain", b"multipart/form-data", b"multipart/mixed; boundary=B"])
def test_only_forms_have_a_boundary(content_type: bytes) -> None:
    with pytest.raises(ClientError) as caught:
        boundary_of(content_type)
    assert caught.value.status == 415
