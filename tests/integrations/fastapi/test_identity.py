"""Who calls, as the application's own dependencies say."""

from dataclasses import dataclass
from typing import Annotated, Any

import pytest

pytest.importorskip("fastapi")

from fastapi import Body, Depends, FastAPI, Header, HTTPException, Request, Security
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer, SecurityScopes

from asgi_llm import Exchange, Gateway, Identity
from asgi_llm.identity import TARGET_KEY
from asgi_llm.testing import ASGIDriver
from asgi_llm_fastapi import llm_router

CHAT = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
MESSAGE = {**CHAT, "max_tokens": 9}
PATHS = {"chat": "/llm/v1/chat/completions", "messages": "/llm/v1/messages", "responses": "/llm/v1/responses"}


class App:
    """An application with the gateway under /llm, and what was settled."""

    def __init__(self, *, settings: dict[str, Any] | None = None, **options: Any) -> None:
        self.settled: list[Exchange] = []
        tree = {"targets": {"echo": {"provider": "echo"}}, **(settings or {})}
        self.gateway = Gateway(tree, on_settled=self.settled.append)
        self.app = FastAPI()
        self.app.include_router(llm_router(self.gateway, **options), prefix="/llm")
        self.driver = ASGIDriver(self.app)

    async def ask(self, dialect: str = "chat", headers: dict[str, str] | None = None) -> Any:
        body = {"model": "echo", "input": "hi"} if dialect == "responses" else MESSAGE
        exchange = await self.driver.request("POST", PATHS[dialect], headers or {}, json=body)
        head = await exchange.start()
        return head, await exchange.json()

    async def who(self, headers: dict[str, str] | None = None) -> Identity:
        async with self.driver.lifespan():
            head, answer = await self.ask(headers=headers)
            assert head.status == 200, answer
        return self.settled[-1].identity


def bearer(authorization: str = Header("")) -> str:
    if not authorization.startswith("Bearer "):
        raise HTTPException(401, "log in first", headers={"www-authenticate": 'Bearer realm="shop"'})
    if authorization == "Bearer banned":
        raise HTTPException(403, "not you")
    return authorization.removeprefix("Bearer ")


async def test_a_string_is_the_subject() -> None:
    assert await App(identity=bearer).who({"authorization": "Bearer ann"}) == Identity(subject="ann", source="fastapi")


async def test_an_identity_is_taken_as_it_is() -> None:
    ann = Identity(subject="user:1", tenant="acme", roles=("staff",))
    assert await App(identity=lambda: ann).who() == ann


@dataclass
class User:
    id: int
    email: str = "ann@example.org"


@dataclass
class Named:
    username: str


@pytest.mark.parametrize(
    ("user", "subject"), [(User(7), "7"), (Named("ann"), "ann"), ({"sub": "auth0|1", "email": "a@b"}, "auth0|1")]
)
async def test_an_object_is_known_by_its_id_or_name(user: Any, subject: str) -> None:
    assert await App(identity=lambda: user).who() == Identity(subject=subject, source="fastapi")


async def test_the_application_says_how_its_user_becomes_an_identity() -> None:
    def to_identity(user: User) -> Identity:
        return Identity(subject=f"user:{user.id}", tenant=user.email.partition("@")[2])

    app = App(identity=lambda: User(7), to_identity=to_identity)
    assert await app.who() == Identity(subject="user:7", tenant="example.org")


async def test_an_object_that_nothing_is_known_about_is_the_developers_mistake() -> None:
    app = App(identity=lambda: object())
    exchange = await app.driver.request("POST", PATHS["chat"], json=CHAT)
    assert (await exchange.start()).status == 500
    with pytest.raises(TypeError, match="to_identity"):
        await exchange.finished()


@pytest.mark.parametrize("dialect", PATHS)
@pytest.mark.parametrize(("key", "status", "said"), [(None, 401, "log in first"), ("banned", 403, "not you")])
async def test_a_refusal_is_told_in_the_callers_dialect(dialect: str, key: str | None, status: int, said: str) -> None:
    app = App(identity=bearer)
    head, answer = await app.ask(dialect, {"authorization": f"Bearer {key}"} if key else None)
    assert head.status == status
    assert answer["error"]["message"] == said
    assert answer.get("type") == ("error" if dialect == "messages" else None)
    kind = {401: "authentication_error", 403: "permission_error"}[status]
    assert dialect != "messages" or answer["error"]["type"] == kind
    assert head.header("x-llm-error-code") == "host_refused"
    assert head.header("www-authenticate") == ('Bearer realm="shop"' if status == 401 else None)


async def test_a_refusal_keeps_its_status_and_headers() -> None:
    def limited() -> None:
        raise HTTPException(418, {"reason": "tea"}, headers={"Retry-After": "7"})

    head, answer = await App(dependencies=[Depends(limited)]).ask()
    assert (head.status, head.header("retry-after")) == (418, "7")
    assert answer["error"]["message"] == '{"reason":"tea"}'


async def test_a_redirect_to_the_login_is_left_to_fastapi() -> None:
    def to_login() -> None:
        raise HTTPException(303, headers={"location": "/login"})

    head, answer = await App(identity=to_login).ask()
    assert (head.status, head.header("location"), answer) == (303, "/login", {"detail": "See Other"})


async def test_a_parameter_that_a_dependency_misses_is_named() -> None:
    def needs(x_team: str = Header()) -> str:
        return x_team

    head, answer = await App(identity=needs).ask("messages")
    assert (head.status, answer["error"]["type"]) == (422, "invalid_request_error")
    assert answer["error"]["message"] == "header.x-team: Field required"


async def test_handlers_of_the_applications_own_exceptions_still_decide() -> None:
    class NoLoginError(Exception):
        pass

    def needs() -> None:
        raise NoLoginError

    app = App(identity=needs)

    @app.app.exception_handler(NoLoginError)
    async def tell(_request: Request, _error: Exception) -> Any:
        return JSONResponse({"login": "needed"}, 401)

    head, answer = await app.ask()
    assert (head.status, answer) == (401, {"login": "needed"})


KEYS = {"auth": {"keys": [{"key": "k-1", "subject": "ci"}]}}


async def test_none_leaves_it_to_the_gateways_keys() -> None:
    app = App(identity=lambda: None, settings=KEYS)
    assert (await app.who({"authorization": "Bearer k-1"})).subject == "ci"
    head, answer = await app.ask()
    assert (head.status, answer["error"]["code"]) == (401, "missing_api_key")


async def test_without_an_identity_the_gateway_decides() -> None:
    assert (await App().ask())[0].status == 401
    assert (await App(settings={"auth": {"anonymous": True}}).who()).source == "anonymous"


async def test_nothing_the_client_sends_makes_an_identity() -> None:
    head, _ = await App().ask(headers={"asgi_llm.identity": "root", "x-asgi-llm-identity": "root"})
    assert head.status == 401


async def test_security_scopes_reach_the_dependency() -> None:
    scheme = HTTPBearer()

    def user(scopes: SecurityScopes, found: Annotated[Any, Depends(scheme)]) -> str:
        return f"{found.credentials} for {scopes.scope_str}"

    app = App(identity=Security(user, scopes=["llm"]))
    assert (await app.who({"authorization": "Bearer ann"})).subject == "ann for llm"
    schemes = app.app.openapi()["paths"]["/llm/v1/messages"]["post"]["security"]
    assert any("HTTPBearer" in scheme for scheme in schemes)


async def test_overrides_apply() -> None:
    app = App(identity=bearer)
    app.app.dependency_overrides[bearer] = lambda: "tester"
    assert (await app.who()).subject == "tester"


async def test_further_dependencies_decide_as_well() -> None:
    def no_plan() -> None:
        raise HTTPException(402, "no plan")

    head, answer = await App(identity=lambda: "ann", dependencies=[Depends(no_plan)]).ask()
    assert (head.status, answer["error"]["message"]) == (402, "no plan")


async def test_a_dependency_may_choose_the_target() -> None:
    def choose(request: Request) -> str:
        request.scope[TARGET_KEY] = "second"
        return "ann"

    targets = {"first": {"provider": "echo", "deny": ["*"]}, "second": {"provider": "echo"}}
    app = App(identity=choose, settings={"targets": targets, "default_target": "first"})
    assert (await app.who()).subject == "ann"
    assert app.settled[-1].plan is not None
    assert app.settled[-1].plan.resolution.targets == ("second",)


async def test_probes_need_no_user() -> None:
    app = App(identity=bearer)
    for path in ("/llm/health", "/llm/ready", "/llm/"):
        exchange = await app.driver.request("GET", path)
        assert (await exchange.start()).status == 200, path
    models = await app.driver.request("GET", "/llm/v1/models")
    assert (await models.start()).status == 401


async def read_whole(request: Request) -> str:
    assert b"hi" in await request.body()
    return "ann"


def read_parsed(messages: Annotated[list[Any], Body(embed=True)]) -> str:
    return str(messages[0]["role"])


async def read_in_pieces(request: Request) -> str:
    return str([len(piece) async for piece in request.stream()])


@pytest.mark.parametrize(("reads", "status"), [(read_whole, 200), (read_parsed, 200), (read_in_pieces, 500)])
async def test_a_dependency_may_read_the_body(reads: Any, status: int) -> None:
    """The gateway is given it again; where it was not kept, nobody waits for what will not come."""
    for options in ({"identity": reads}, {"dependencies": [Depends(reads)]}):
        head, answer = await App(settings={"auth": {"anonymous": True}}, **options).ask()
        assert head.status == status
        assert (answer["choices"][0]["message"]["content"] == "hi") if status == 200 else ("gone" in str(answer))
