"""The gateway below Django's URLconf; and what Django itself takes to answer with the same number of bytes, with the
middleware that a new project has."""

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt
from target import PREFIX, SETTINGS

ANSWER = b'{"answer":"' + b"x" * 1000 + b'"}'

settings.configure(
    SECRET_KEY="measured only",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "asgi_llm_django"],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DATA_UPLOAD_MAX_MEMORY_SIZE=None,
    ASGI_LLM=SETTINGS,
    LOGGING_CONFIG=None,
)
django.setup()

from asgi_llm_django import with_lifespan  # noqa: E402  # needs the settings


@csrf_exempt
async def own(request: HttpRequest) -> HttpResponse:
    del request
    return HttpResponse(ANSWER, content_type="application/json")


urlpatterns = [path("own", own), path(f"{PREFIX[1:]}/", include("asgi_llm_django.urls"))]
app = with_lifespan(get_asgi_application())
