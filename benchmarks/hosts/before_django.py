"""The gateway before Django in asgi.py. Django's own answers are not asked for."""

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from target import PREFIX, SETTINGS

settings.configure(
    SECRET_KEY="measured only",
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "asgi_llm_django"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    ASGI_LLM=SETTINGS,
    LOGGING_CONFIG=None,
)
django.setup()

from asgi_llm_django import intercept  # noqa: E402  # needs the settings

urlpatterns: list[object] = []
app = intercept(get_asgi_application(), prefix=PREFIX)
