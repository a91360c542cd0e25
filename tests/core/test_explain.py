"""What is said of the way before anything is sent, in the words of the ``x-llm-route`` header."""

from asgi_llm import Gateway
from asgi_llm.cli import outline, told

GATEWAY = {
    "targets": {
        "small": {"provider": "echo"},
        "large": {"provider": "echo", "models": {"long": "echo-long"}},
        "strict": {"provider": "echo", "allow": ["nothing"]},
    },
    "routes": [
        {
            "model": "*",
            "target": "small",
            "fallback": [
                {"target": "large", "model": "long", "on": "overflow"},
                {"target": "small", "model": "other", "on": "any"},
                {"target": "strict", "model": "renamed"},
            ],
        }
    ],
}


def test_every_leg_is_told_with_its_model_and_when_it_is_tried() -> None:
    legs = Gateway(GATEWAY).explain("m").legs
    assert [(leg.target, leg.model, leg.use) for leg in legs] == [
        ("small", "m", "first"),
        ("large", "echo-long", "overflow"),
        ("small", "other", "any"),
        ("strict", "renamed", "never"),
    ]


def test_in_words_for_people() -> None:
    lines = told(Gateway(GATEWAY).explain("m"))
    assert lines[3].startswith(
        "  2. large (overflow: for requests that are too long for those before): echo, as echo-long"
    )
    assert lines[4].startswith("  3. small (fallback and overflow)")


def test_the_outline_of_the_settings_shows_them() -> None:
    lines = outline(Gateway(GATEWAY).settings)
    assert "  * -> small -> large as long (on overflow) -> small as other (on any) -> strict as renamed" in lines


def test_an_endpoint_that_is_no_dialects_goes_only_where_it_is_served() -> None:
    gateway = Gateway(
        {
            "targets": {
                "claude": {"provider": "anthropic", "api_key": "k"},
                "google": {"provider": "gemini", "api_key": "k"},
                "own": {"provider": "vllm", "base_url": "http://10.0.0.1:8000"},
            },
            "routes": [{"model": "*", "target": "claude", "fallback": ["google", "own"]}],
        }
    )
    legs = gateway.explain("m", endpoint="embeddings").legs
    assert [(leg.target, leg.use, leg.mode) for leg in legs] == [
        ("google", "first", "translated"),
        ("own", "fallback", "verbatim"),
    ]
    refused = gateway.explain("m", endpoint="files")
    assert (refused.status, refused.code, refused.legs) == (404, "endpoint_not_supported", ())
