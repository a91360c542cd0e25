"""Bodies that no dialect can read: each says so with the same code and names the field, where there is one."""

import pytest

from asgi_llm.dialects.chat import CHAT
from asgi_llm.dialects.gemini import GEMINI
from asgi_llm.dialects.interface import Dialect
from asgi_llm.dialects.messages import MESSAGES
from asgi_llm.dialects.responses import RESPONSES
from asgi_llm.errors import ClientError

every_dialect = pytest.mark.parametrize(
    "dialect", [CHAT, MESSAGES, RESPONSES, GEMINI], ids=lambda dialect: dialect.name
)


@every_dialect
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"hello",
        b'{"model":"m","messages":[],"contents":[],"x":01}',
        b'{"model":"\xff"}',
        b'{"model":"m","x":"\xed\xa0\x80"}',
        b'{"x":' + b"[" * 100_000,
        b"[" * 100_000,
        b"[]",
        b"null",
        b"1e400",
        b"9" * 5000,
    ],
    ids=lambda body: repr(body[:20]),
)
def test_no_object_of_json(dialect: Dialect, body: bytes) -> None:
    with pytest.raises(ClientError) as caught:
        dialect.decode_request(body)
    assert caught.value.code == "invalid_json"
    assert caught.value.param is None
