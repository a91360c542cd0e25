"""Nobody gets at what is another's, and cannot tell it from what never was: one table over every endpoint."""

import re
from typing import Any

import pytest

from asgi_llm.errors import StoreError
from asgi_llm.testing import ScriptedUpstream, chat_text

STRANGERS = [{"subject": "bob"}, {"tenant": "other"}]
TABLE: list[tuple[str, str, Any]] = [
    ("GET", "/v1/responses/{response}", None),
    ("GET", "/v1/responses/{response}?stream=true", None),
    ("GET", "/v1/responses/{response}?stream=true&starting_after=0", None),
    ("DELETE", "/v1/responses/{response}", None),
    ("POST", "/v1/responses/{response}/cancel", None),
    ("GET", "/v1/responses/{response}/input_items", None),
    ("POST", "/v1/responses", {"model": "m", "input": "x", "previous_response_id": "{response}"}),
    ("POST", "/v1/responses", {"model": "m", "input": "x", "previous_response_id": "{response}", "store": False}),
    ("POST", "/v1/responses", {"model": "m", "input": "x", "previous_response_id": "{response}", "stream": True}),
    ("POST", "/v1/responses", {"model": "m", "input": "x", "conversation": "{conversation}"}),
    ("POST", "/v1/responses", {"model": "m", "input": "x", "conversation": {"id": "{conversation}"}}),
    ("POST", "/v1/responses", {"model": "m", "input": [{"type": "item_reference", "id": "{item}"}]}),
    ("POST", "/v1/responses/input_tokens", {"model": "m", "input": "x", "previous_response_id": "{response}"}),
    ("POST", "/v1/responses/input_tokens", {"model": "m", "input": "x", "conversation": "{conversation}"}),
    ("POST", "/v1/responses", {"model": "m", "input": "x", "previous_response_id": "{response}", "background": True}),
    ("POST", "/v1/responses", {"model": "m", "input": "x", "conversation": "{conversation}", "background": True}),
    ("POST", "/v1/responses/compact", {"model": "m", "previous_response_id": "{response}"}),
    ("POST", "/v1/conversations", {"items": [{"type": "item_reference", "id": "{item}"}]}),
    ("GET", "/v1/conversations/{conversation}", None),
    ("POST", "/v1/conversations/{conversation}", {"metadata": {"a": "b"}}),
    ("DELETE", "/v1/conversations/{conversation}", None),
    ("GET", "/v1/conversations/{conversation}/items", None),
    ("POST", "/v1/conversations/{conversation}/items", {"items": [{"role": "user", "content": "x"}]}),
    ("GET", "/v1/conversations/{conversation}/items/{member}", None),
    ("DELETE", "/v1/conversations/{conversation}/items/{member}", None),
]


def filled(value: Any, names: dict[str, str]) -> Any:
    match value:
        case str():
            return value.format(**names)
        case dict():
            return {key: filled(inner, names) for key, inner in value.items()}
        case list():
            return [filled(inner, names) for inner in value]
    return value


async def test_every_way_to_anothers_things_says_that_there_is_nothing(open_client: Any, store_url: str) -> None:
    async with ScriptedUpstream(chat_text("Secret.")) as upstream:
        ann = await open_client(upstream, store=store_url)
        response = (await ann.say("My secret.")).json
        conversation = (await ann("POST", "/v1/conversations", {"items": [{"role": "user", "content": "s"}]})).json[
            "id"
        ]
        (member,) = (await ann("GET", f"/v1/conversations/{conversation}/items")).json["data"]
        real = {
            "response": response["id"],
            "item": response["output"][0]["id"],
            "conversation": conversation,
            "member": member["id"],
        }
        never = {name: re.sub(r"[0-9a-f]{8}$", "00000000", value) for name, value in real.items()}
        asked = len(upstream.requests)
        for who in STRANGERS:
            stranger = ann.other(**who)
            for method, path, body in TABLE:
                said = []
                for names in (real, never):
                    answer = await stranger(method, filled(path, names), filled(body, names))
                    assert answer.status == 404, (method, path, body, answer.body)
                    text = answer.body.decode()
                    for value in names.values():
                        text = text.replace(value, "ID")
                    said.append(text)
                assert said[0] == said[1], (method, path)
        assert len(upstream.requests) == asked
        # The owner's things are all still there.
        for method, path, _ in TABLE:
            if method == "GET" and "starting_after" not in path:  # it did not run in the background
                assert (await ann(method, filled(path, real))).status == 200, path


class Down:
    """A store that cannot be reached."""

    def __getattr__(self, name: str) -> Any:
        async def fail(*_args: Any, **_more: Any) -> None:
            raise StoreError

        return fail


async def test_a_store_that_is_down_is_told_at_every_door(open_client: Any) -> None:
    names = dict.fromkeys(("response", "item", "conversation", "member"), "x")
    async with ScriptedUpstream(chat_text("Secret.")) as upstream:
        client = await open_client(upstream)
        client.gateway.runtime().history.store = Down()
        for method, path, body in [*TABLE, ("POST", "/v1/conversations", {})]:
            answer = await client(method, filled(path, names), filled(body, names))
            assert (answer.status, answer.code) == (503, "store_unavailable"), (method, path, body)
            assert "retry-after" in answer.headers
        assert not upstream.requests
        begun = await client.say("x", background=True)
        assert (begun.status, begun.code) == (503, "store_unavailable")


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_other_methods_are_refused(open_client: Any, method: str) -> None:
    async with ScriptedUpstream() as upstream:
        client = await open_client(upstream)
        answer = await client(method, "/v1/responses/resp_x")
        assert (answer.status, answer.headers["allow"]) == (405, "DELETE, GET, HEAD")


async def test_nothing_of_it_is_there_where_nothing_is_kept(open_client: Any) -> None:
    async with ScriptedUpstream() as upstream:
        client = await open_client(upstream, stateful=None)
        for path in ("/v1/responses/resp_x", "/v1/conversations/conv_x"):
            answer = await client("GET", path)
            assert (answer.status, answer.code) == (404, "unknown_endpoint")


async def test_behind_every_prefix(open_client: Any) -> None:
    async with ScriptedUpstream(chat_text("Hi.")) as upstream:
        client = await open_client(upstream)
        name = (await client.say("Hello.")).json["id"]
        for path in (
            "/v1/responses/{}",
            "/responses/{}",
            "/openai/v1/responses/{}",
            "/openai/responses/{}/input_items",
        ):
            assert (await client("GET", path.format(name))).status == 200
        for path in ("/v1/responses/{}/x", "/v1/responses/{}/input_items/x", "/x/v1/responses/{}"):
            assert (await client("GET", path.format(name))).code == "unknown_endpoint"
