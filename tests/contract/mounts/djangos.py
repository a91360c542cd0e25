"""Django, by ASGI with the view, by ASGI with the gateway in front, and by WSGI."""

from typing import Any

from asgi_llm import Exchange, Gateway

from .base import PAGE, Mount, Refused, user_of

__all__ = ["DjangoIntercept", "DjangoView", "DjangoWSGI"]


def by_header(request: Any) -> Any:
    """The project's ``identity``."""
    from django.core.exceptions import PermissionDenied

    try:
        return user_of(request.headers)
    except Refused as error:
        raise PermissionDenied(str(error)) from error


by_header.csrf_exempt = True  # type: ignore[attr-defined]  # as it is said of authenticators


def configured() -> None:
    from django.conf import settings

    if not settings.configured:
        import django

        settings.configure(
            SECRET_KEY="for tests",
            ALLOWED_HOSTS=["*"],
            WSGI_APPLICATION=None,
            INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "asgi_llm_django"],
            DATABASES={},
            USE_TZ=True,
        )
        django.setup()


class DjangoView(Mount):
    needs = ("django",)
    includes = True
    sockets = False

    def build(self) -> Any:
        configured()
        from django.http import HttpResponse
        from django.test import override_settings
        from django.urls import include, path, re_path

        from asgi_llm_django import exchange_settled

        class Urls:
            urlpatterns = (re_path("", lambda _request: HttpResponse(PAGE)),)

        if self.includes:
            Urls.urlpatterns = (path(f"{self.prefix.strip('/')}/", include("asgi_llm_django.urls")), *Urls.urlpatterns)

        tree = {**self.tree, "identity": by_header}
        change = override_settings(ROOT_URLCONF=Urls, MIDDLEWARE=[], ASGI_LLM=tree)
        change.enable()
        self.stack.callback(change.disable)

        async def keep(exchange: Exchange, **_more: Any) -> None:
            self.settled.append(exchange)

        exchange_settled.connect(keep)
        self.stack.callback(exchange_settled.disconnect, keep)
        self._keep = keep
        return self.serve()

    def reload(self, tree: dict[str, Any]) -> None:
        from django.conf import settings

        from asgi_llm_django import reload

        settings.ASGI_LLM = {**tree, "identity": by_header}
        reload()

    def serve(self) -> Any:
        from django.core.asgi import get_asgi_application

        from asgi_llm_django import with_lifespan

        return lowered(with_lifespan(get_asgi_application()))

    @property
    def gateway(self) -> Gateway:
        from asgi_llm_django import get_gateway

        return get_gateway()


class DjangoIntercept(DjangoView):
    shares = True
    sockets = True
    includes = False

    def serve(self) -> Any:
        from django.core.asgi import get_asgi_application

        from asgi_llm_django import intercept

        return lowered(intercept(get_asgi_application(), prefix=self.prefix, shared=self.shared))


class DjangoWSGI(DjangoView):
    wsgi = True

    def serve(self) -> Any:
        from django.core.wsgi import get_wsgi_application

        return get_wsgi_application()


def lowered(app: Any) -> Any:
    """With header names as ASGI has them, which the driver insists on."""

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        async def tell(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [(name.lower(), value) for name, value in message["headers"]]}
            await send(message)

        await app(scope, receive, tell)

    return inner
