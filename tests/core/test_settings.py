"""The settings: every mistake is told at once with its path, and secrets are told to nobody."""

import copy
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from asgi_llm.errors import ConfigError
from asgi_llm.providers.registry import PROVIDERS
from asgi_llm.settings import BASE_URL_OPTIONAL, ProviderName, Settings, literal_secrets

HUSH = "sk-hush-4711"
URL = "http://10.0.0.1:8000/v1"

NO_HEADER = "must be visible ASCII characters without spaces, since it is sent in a header"
NO_VALUE = "must be visible ASCII characters, with spaces only between them"
NO_GLOB = "is not a glob: use *, ? and [abc] or [!abc], no spaces and no braces"
NO_ADDRESS = "must be an http:// or https:// address with a host"
NO_PORT = "has a port that is not a number from 1 to 65535"
TOO_MUCH = "must not carry a query, a fragment, a user or a password"


def target(**changes: Any) -> dict[str, Any]:
    """Settings with one target ``t``, an echo unless told otherwise."""
    return {"targets": {"t": {"provider": "echo", **changes}}}


def problems(tree: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        Settings.load(tree)
    return [str(problem) for problem in caught.value.problems]


def test_the_smallest_settings_have_sensible_defaults() -> None:
    settings = Settings.load(target())
    assert settings.targets["t"].retry.attempts == 3
    assert settings.targets["t"].timeouts.total == 0
    assert settings.auth.anonymous is False
    assert settings.endpoints.prefixes == {"openai": "/openai", "anthropic": "/anthropic"}


ONE_MISTAKE: list[tuple[dict[str, Any], str]] = [
    (target(api_key="a", api_keys=["b", "c"]), "targets.t: give api_key or api_keys, not both"),
    (target(api_keys=["a", "b", "a"]), "targets.t: api_keys has the same key twice"),
    (target(api_keys=["a", "b c"]), f"targets.t.api_keys[1]: {NO_HEADER}"),
    (target(hedge={}), "targets.t.hedge: give after or percentile"),
    (target(hedge={"percentile": 100}), "targets.t.hedge.percentile: Input should be less than 100"),
    (target(concurrency=-1), "targets.t.concurrency: Input should be greater than or equal to 0"),
    (target(retry={"budget": -1}), "targets.t.retry.budget: Input should be greater than or equal to 0"),
    (target() | {"limits": {"queue_timeout": 0}}, "limits.queue_timeout: Input should be greater than 0"),
    (
        target() | {"routes": [{"model": "*", "target": "t", "fallback": [{"target": "x", "model": "m"}]}]},
        'routes[0].fallback[0].target: there is no target "x"; there are: t',
    ),
    (
        target() | {"routes": [{"model": "*", "target": "t", "fallback": [{"target": "t", "on": "rain"}]}]},
        "routes[0].fallback[0].on: Input should be 'failure', 'overflow' or 'any'",
    ),
    (
        target() | {"routes": [{"model": "*", "target": "t", "fallback": [{"model": "m"}]}]},
        "routes[0].fallback[0].target: is required",
    ),
    ({}, "targets: is required"),
    ({"targets": {}}, "targets: Dictionary should have at least 1 item after validation, not 0"),
    ({"targets": []}, "targets: Input should be a valid dictionary"),
    ({"targets": {"t": {}}}, "targets.t.provider: is required"),
    ({"targets": {"t": None}}, "targets.t: Input should be a valid dictionary or instance of TargetSettings"),
    (target() | {"colour": "red"}, "colour: is not a setting"),
    (target() | {"default_taget": "t"}, 'default_taget: is not a setting; did you mean "default_target"?'),
    (target(time_outs={}), 'targets.t.time_outs: is not a setting; did you mean "timeouts"?'),
    (target(retry={"atempts": 2}), 'targets.t.retry.atempts: is not a setting; did you mean "attempts"?'),
    (
        target() | {"guards": [{"name": "g", "kind": "limits", "max_turn": 2}]},
        'guards[0].max_turn: is not a setting; did you mean "max_turns"?',
    ),
    (target(colour="red"), "targets.t.colour: is not a setting"),
    (target(retry={"tries": 2}), "targets.t.retry.tries: is not a setting"),
    (
        target() | {"auth": {"keys": [{"key": "k", "subject": "s", "rolls": []}]}},
        'auth.keys[0].rolls: is not a setting; did you mean "roles"?',
    ),
    (
        target(provider="openia"),
        "targets.t.provider: Input should be 'anthropic', 'azure', ",
    ),
    (target(provider="vllm"), 'targets.t: provider "vllm" needs a base_url or workers'),
    (target(base_url=URL, workers=[{"url": URL}]), "targets.t: give base_url or workers, not both"),
    (target(workers=[{"url": URL}, {"url": URL + "/"}]), "targets.t: workers has the same url twice"),
    (target(workers=[{"url": URL}, {}]), "targets.t.workers[1].url: is required"),
    (target(base_url="10.0.0.1:8000"), f"targets.t.base_url: {NO_ADDRESS}"),
    (target(base_url="ftp://host/v1"), f"targets.t.base_url: {NO_ADDRESS}"),
    (target(base_url="https:///v1"), f"targets.t.base_url: {NO_ADDRESS}"),
    (target(base_url="http://host:0"), f"targets.t.base_url: {NO_ADDRESS}"),
    (target(base_url="http://host:99999"), f"targets.t.base_url: {NO_PORT}"),
    (target(base_url="http://host:x"), f"targets.t.base_url: {NO_PORT}"),
    (
        target(base_url="http://me:pw@host"),
        f"targets.t.base_url: {TOO_MUCH}",
    ),
    (target(base_url=URL + "?a=1"), f"targets.t.base_url: {TOO_MUCH}"),
    (target(api_key="two words"), f"targets.t.api_key: {NO_HEADER}"),
    (target(api_key="line\r\nfeed"), f"targets.t.api_key: {NO_HEADER}"),
    (target(api_key=""), f"targets.t.api_key: {NO_HEADER}"),
    (target(api_key="env://ABSENT_KEY"), "targets.t.api_key: the environment variable ABSENT_KEY is not set"),
    (
        target(api_key="file:///absent/key"),
        "targets.t.api_key: the file /absent/key cannot be read: No such file or directory",
    ),
    (target(headers={"two words": "v"}), "targets.t.headers.two words: is not the name of a header"),
    (target(headers={"x\r\ny": "v"}), "targets.t.headers.x\r\ny: is not the name of a header"),
    (target(headers={"x\n": "v"}), "targets.t.headers.x\n: is not the name of a header"),
    (target(headers={"é": "v"}), "targets.t.headers.é: is not the name of a header"),
    (target(headers={"": "v"}), "targets.t.headers.: is not the name of a header"),
    (
        target(headers={"Content-Length": "3"}),
        "targets.t.headers.Content-Length: is a header that the gateway writes itself",
    ),
    (target(headers={"x-a": "b\r\nx-c: d"}), f"targets.t.headers.x-a: {NO_VALUE}"),
    (target(headers={"x-a": ""}), f"targets.t.headers.x-a: {NO_VALUE}"),
    (target(headers={"x-a": " b"}), f"targets.t.headers.x-a: {NO_VALUE}"),
    (target(headers={"x-a": "é"}), f"targets.t.headers.x-a: {NO_VALUE}"),
    (target(allow=["gpt-{4,5}"]), f"targets.t.allow[0]: {NO_GLOB}"),
    (target(deny=["ok", "two words"]), f"targets.t.deny[1]: {NO_GLOB}"),
    (target(deny=["[abc"]), f"targets.t.deny[0]: {NO_GLOB}"),
    (target(deny=["gpt\n"]), f"targets.t.deny[0]: {NO_GLOB}"),
    (target(allow=[""]), f"targets.t.allow[0]: {NO_GLOB}"),
    (target(max_tokens=0), "targets.t.max_tokens: Input should be greater than or equal to 1"),
    (target(timeouts={"connect": -1}), "targets.t.timeouts.connect: Input should be greater than or equal to 0"),
    (target(timeouts={"idle": float("nan")}), "targets.t.timeouts.idle: Input should be a finite number"),
    (target(timeouts={"idle": float("inf")}), "targets.t.timeouts.idle: Input should be a finite number"),
    (target(retry={"jitter": 1.5}), "targets.t.retry.jitter: Input should be less than or equal to 1"),
    (
        target(dialects=["chat", "smalltalk"]),
        "targets.t.dialects[1]: Input should be 'chat', 'responses', 'messages' or 'gemini'",
    ),
    (target(tls={"cert": "PEM"}), "targets.t.tls: cert and key go together: give both or neither"),
    (target() | {"default_target": "x"}, 'default_target: there is no target "x"; there are: t'),
    (target() | {"routes": [{"model": "*", "target": "x"}]}, 'routes[0].target: there is no target "x"; there are: t'),
    (
        target() | {"routes": [{"model": "*", "target": "t", "fallback": ["t", "y"]}]},
        'routes[0].fallback[1]: there is no target "y"; there are: t',
    ),
    (target() | {"routes": [{"target": "t"}]}, "routes[0].model: is required"),
    (target() | {"auth": {"keys": [{"subject": "s"}]}}, "auth.keys[0]: give either key or sha256"),
    (
        target() | {"auth": {"keys": [{"subject": "s", "key": "k", "sha256": "0" * 64}]}},
        "auth.keys[0]: give either key or sha256",
    ),
    (
        target() | {"auth": {"keys": [{"subject": "s", "sha256": "123"}]}},
        "auth.keys[0].sha256: String should match pattern '^[0-9a-fA-F]{64}$'",
    ),
    # Unions: one mistake, wherever each of their members sees another.
    (
        target() | {"quotas": [{"name": "q", "resource": "cost", "limit": 1, "window": "week"}]},
        'quotas[0].window: must be a number of seconds from 1 to 31622400, or "day", "month" or "lifetime"',
    ),
    (target(balance_options={"x": [1]}), "targets.t.balance_options.x: must be a number or a text"),
    (target() | {"media": {"addresses": ["10/99"]}}, "media.addresses[0]: is not a network, as in 10.1.0.0/16"),
    (
        target() | {"tools": {"mcp": {"addresses": ["10.0.0.1/8"]}}},
        "tools.mcp.addresses[0]: is not a network, as in 10.1.0.0/16",
    ),
    (
        target() | {"tools": {"web_search": 3}},
        'tools.web_search: must be a callable, "package.module:function" or the URL of an endpoint',
    ),
    (
        target() | {"guards": [{"name": "g", "kind": "x"}]},
        "guards[0].kind: Input should be one of 'patterns', 'personal_data', 'template', 'limits', 'classifier'",
    ),
    (target() | {"guards": [{"name": "g"}]}, "guards[0].kind: is required"),
    (target() | {"stream": {"on_disconnect": "ignore"}}, "stream.on_disconnect: Input should be 'cancel' or 'drain'"),
    (target() | {"limits": {"body": 0}}, "limits.body: Input should be greater than or equal to 1"),
    (
        target() | {"endpoints": {"prefixes": {"openai": "openai/"}}},
        "endpoints.prefixes.openai: String should match pattern '^/[A-Za-z0-9_./-]*[A-Za-z0-9_-]$'",
    ),
]


@pytest.mark.parametrize(("tree", "message"), ONE_MISTAKE, ids=[message for _, message in ONE_MISTAKE])
def test_a_mistake_is_told_with_its_path(tree: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ABSENT_KEY", raising=False)
    found = problems(tree)
    # The list of providers grows.
    assert found == [message] or (len(found) == 1 and message.endswith(", ") and found[0].startswith(message))


def test_all_mistakes_are_told_at_once() -> None:
    tree = {
        "targets": {"a": {"provider": "vllm"}, "b": {"provider": "echo", "max_tokens": "many", "what": 1}},
        "default_target": "c",
        "routes": [{"model": "a b", "target": "d", "fallback": ["a", "e"]}],
        "limits": {"body": -1},
    }
    assert sorted(line.partition(":")[0] for line in problems(tree)) == [
        "default_target",
        "limits.body",
        "routes[0].fallback[1]",
        "routes[0].model",
        "routes[0].target",
        "targets.a",
        "targets.b.max_tokens",
        "targets.b.what",
    ]


@pytest.mark.parametrize(
    "tree",
    [
        {"targets": 3, "routes": "x", "auth": [], "default_target": []},
        {"targets": {"t": 3}, "routes": [3, None, {"target": {}, "fallback": 3}], "auth": {"keys": 3}},
        {"targets": {3: {"provider": "echo"}}, "default_target": {}},
        {"targets": {"t": {"provider": [], "tls": 1, "headers": [], "workers": {}}}, "endpoints": None},
    ],
)
def test_values_of_any_wrong_type_are_mistakes_and_no_crash(tree: dict[str, Any]) -> None:
    assert problems(tree)


@given(
    st.dictionaries(
        st.sampled_from(["targets", "routes", "auth", "limits", "default_target", "endpoints", "stream"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["t", "provider", "keys", "target", "fallback", "workers", "url"]) | st.text(),
                    inner,
                    max_size=3,
                )
            ),
            max_leaves=12,
        ),
    )
)
def test_any_tree_loads_or_is_a_config_error(tree: dict[str, Any]) -> None:
    with suppress(ConfigError):
        Settings.load(tree)


def test_loading_leaves_the_given_tree_alone() -> None:
    tree = target(api_key=HUSH, base_url=URL + "/")
    before = copy.deepcopy(tree)
    Settings.load(tree)
    assert tree == before


def test_settings_are_frozen() -> None:
    settings = Settings.load(target())
    with pytest.raises(ValidationError):
        settings.default_target = "x"  # type: ignore[misc]  # that it is frozen is the point


def test_names_in_the_settings_are_the_providers() -> None:
    assert set(get_args(ProviderName)) == PROVIDERS.keys()
    assert {name for name, provider in PROVIDERS.items() if provider.base_url is not None} == BASE_URL_OPTIONAL


def test_a_header_of_a_target_may_have_spaces_and_be_a_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM", "Basic a team")
    headers = Settings.load(target(headers={"Authorization": "env://TEAM", "x_y": "b c"})).targets["t"].headers
    assert {name: value.get_secret_value() for name, value in headers.items()} == {
        "Authorization": "Basic a team",
        "x_y": "b c",
    }


@pytest.mark.parametrize("url", [URL, "https://host", "http://[::1]:8000/v1", "http://host:65535/a/b"])
def test_an_address_loses_only_its_last_slash(url: str) -> None:
    assert Settings.load(target(base_url=url + "/")).targets["t"].base_url == url


EVERYWHERE: dict[str, Any] = {
    "targets": {
        "t": {
            "provider": "openai",
            "api_key": HUSH,
            "headers": {"x-team": HUSH},
            "proxy": f"http://me:{HUSH}@proxy",
            "tls": {"ca": HUSH, "cert": HUSH, "key": HUSH},
        }
    },
    "auth": {"keys": [{"key": HUSH, "subject": "s"}]},
}
"""The secret in every place that may hold one."""


class TestSecrets:
    def test_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SOME_KEY", f"  {HUSH}\n")
        key = Settings.load(target(api_key="env://SOME_KEY")).targets["t"].api_key
        assert key is not None
        assert key.get_secret_value() == HUSH

    def test_from_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "key").write_text(f"{HUSH}\n")
        key = Settings.load(target(api_key=f"file://{tmp_path}/key")).targets["t"].api_key
        assert key is not None
        assert key.get_secret_value() == HUSH

    @pytest.mark.parametrize(
        ("content", "reason"), [(b" \n", "is empty"), (b"\xff\xfe", "cannot be read: not UTF-8 text")]
    )
    def test_a_file_without_a_usable_secret(self, tmp_path: Path, content: bytes, reason: str) -> None:
        path = tmp_path / "key"
        path.write_bytes(content)
        assert problems(target(api_key=f"file://{path}")) == [f"targets.t.api_key: the file {path} {reason}"]

    def test_a_variable_of_white_space_is_not_set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SOME_KEY", "  ")
        assert problems(target(api_key="env://SOME_KEY")) == [
            "targets.t.api_key: the environment variable SOME_KEY is not set"
        ]

    def test_are_in_no_print_of_the_settings(self) -> None:
        settings = Settings.load(EVERYWHERE)
        shown = [repr(settings), str(settings), settings.model_dump_json(), repr(settings.model_dump())]
        shown += [repr(settings.targets["t"]), repr(settings.auth.keys[0]), repr(settings.model_dump(mode="json"))]
        assert [text for text in shown if HUSH in text] == []

    @pytest.mark.parametrize(
        "path",
        [
            ("targets", "t", "api_key"),
            ("targets", "t", "headers", "x-team"),
            ("targets", "t", "proxy"),
            ("targets", "t", "tls", "key"),
            ("auth", "keys", 0, "key"),
        ],
        ids=lambda path: ".".join(map(str, path)),
    )
    @pytest.mark.parametrize(
        "wrap", [lambda value: [value], lambda value: {"a": value}, lambda value: f"{value} \r\n x"]
    )
    def test_are_in_no_message_about_a_wrong_one(self, path: tuple[Any, ...], wrap: Any) -> None:
        tree = copy.deepcopy(EVERYWHERE)
        tree["nonsense"] = {"api_key": HUSH}
        place: Any = tree
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = wrap(HUSH)
        with pytest.raises(ConfigError) as caught:
            Settings.load(tree)
        assert HUSH not in f"{caught.value} {caught.value!r} {caught.value.problems}"
        assert caught.value.__cause__ is None

    def test_that_are_literals_are_found(self) -> None:
        assert literal_secrets(EVERYWHERE) == ["targets.t.api_key", "targets.t.tls.key", "auth.keys[0].key"]
        references = {
            "targets": {"t": {"provider": "openai", "api_key": "env://KEY"}},
            "auth": {"keys": [{"key": "file:///key", "subject": "s"}, {"sha256": "0" * 64, "subject": "s"}]},
        }
        assert literal_secrets(references) == []

    @pytest.mark.parametrize("tree", [{}, {"targets": 3}, {"targets": {"t": 3}, "auth": 3}, {"auth": {"keys": [3]}}])
    def test_looking_for_literals_takes_any_tree(self, tree: dict[str, Any]) -> None:
        assert literal_secrets(tree) == []


class TestTOML:
    TEXT = """
        default_target = "fleet"
        [targets.fleet]
        provider = "sglang"
        workers = [{ url = "http://10.0.0.1:30000" }, { url = "http://10.0.0.2:30000" }]
        models = { "fast" = "small-model" }
        [[routes]]
        model = "claude-*"
        target = "fleet"
    """

    def test_a_file_is_the_same_tree(self, tmp_path: Path) -> None:
        path = tmp_path / "llm.toml"
        path.write_text(self.TEXT)
        tree = {
            "default_target": "fleet",
            "targets": {
                "fleet": {
                    "provider": "sglang",
                    "workers": [{"url": "http://10.0.0.1:30000"}, {"url": "http://10.0.0.2:30000"}],
                    "models": {"fast": "small-model"},
                }
            },
            "routes": [{"model": "claude-*", "target": "fleet"}],
        }
        assert Settings.load(path) == Settings.load(str(path)) == Settings.load(tree)

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        path = tmp_path / "absent.toml"
        assert problems(path) == [f"the file {path} cannot be read: No such file or directory"]

    def test_a_folder_is_no_file(self, tmp_path: Path) -> None:
        assert problems(tmp_path) == [f"the file {tmp_path} cannot be read: Is a directory"]

    def test_what_is_not_toml_is_told_with_its_place(self, tmp_path: Path) -> None:
        path = tmp_path / "llm.toml"
        path.write_text("[targets]\ndefault_target: 3\n")
        (only,) = problems(path)
        assert only.startswith(f"the file {path} is not TOML: ")
        assert "line 2" in only

    def test_what_is_not_text(self, tmp_path: Path) -> None:
        path = tmp_path / "llm.toml"
        path.write_bytes(b"\xff\xfe")
        (only,) = problems(path)
        assert only.startswith(f"the file {path} is not TOML: ")


class TestNested:
    """Settings as a field of an application's own pydantic model."""

    class App(BaseModel):
        debug: bool = False
        llm: Settings

    def test_load_takes_them_as_they_are(self) -> None:
        app = self.App.model_validate({"llm": target(api_key=HUSH)})
        assert Settings.load(app.llm) is app.llm
        assert HUSH not in repr(app) + app.model_dump_json()

    def test_their_mistakes_are_the_models_own(self) -> None:
        with pytest.raises(ValidationError) as caught:
            self.App.model_validate({"llm": target(colour="red")})
        assert [item["loc"] for item in caught.value.errors()] == [("llm", "targets", "t", "colour")]

    def test_no_secret_is_in_what_the_models_mistakes_print(self) -> None:
        tree = {"llm": {"targets": {"t": {"api_key": HUSH}}, "auth": {"keys": [{"key": HUSH}]}}}
        with pytest.raises(ValidationError) as caught:
            self.App.model_validate(tree)
        assert [item["type"] for item in caught.value.errors()] == ["missing", "missing"]
        assert HUSH not in f"{caught.value}{caught.value.errors()}"

    def test_names_that_do_not_exist_are_found_when_they_are_loaded(self) -> None:
        app = self.App.model_validate({"llm": target() | {"default_target": "x"}})
        assert problems(app.llm) == ['default_target: there is no target "x"; there are: t']


def test_a_fallback_is_a_name_or_says_more() -> None:
    fallback = ["t", {"target": "t", "model": "long", "on": "overflow"}]
    (route,) = Settings.load(target() | {"routes": [{"model": "*", "target": "t", "fallback": fallback}]}).routes
    assert [(leg.target, leg.model, leg.on) for leg in route.fallback] == [
        ("t", None, "failure"),
        ("t", "long", "overflow"),
    ]


def test_each_of_several_keys_is_a_secret() -> None:
    tree = target(api_keys=[HUSH, "env://PATH"])
    assert literal_secrets(tree) == ["targets.t.api_keys[0]"]
    assert HUSH not in repr(Settings.load(target(api_keys=[HUSH, "sk-other"])))
