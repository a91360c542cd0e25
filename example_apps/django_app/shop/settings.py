"""The project's settings. Without any key the echo answers; with OPENAI_API_KEY set, OpenAI answers what asks for its
models."""

import os
from pathlib import Path

DEBUG = True
# Fit for an example only, like the passwords that serve.py sets.
SECRET_KEY = os.environ.get("SHOP_SECRET_KEY", "an example's key, known to everybody")
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
ROOT_URLCONF = "shop.urls"
ASGI_APPLICATION = "shop.asgi.application"
WSGI_APPLICATION = "shop.wsgi.application"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "home"
DATABASE = os.environ.get("SHOP_DATABASE", Path(__file__).parents[1] / "shop.db")
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DATABASE}}
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "asgi_llm_django",
    "shop",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
STATIC_URL = "static/"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

openai = bool(os.environ.get("OPENAI_API_KEY"))
ASGI_LLM = {
    "targets": {"echo": {"provider": "echo"}}
    | ({"openai": {"provider": "openai", "api_key": "env://OPENAI_API_KEY"}} if openai else {}),
    "routes": [{"model": "gpt-*", "target": "openai"}] if openai else [],
    "default_target": "echo",
    # Programs show a token of the shop's, browsers have their session.
    "identity": ["shop.users.by_token", "session"],
    # The shop's own database keeps who used what, and the keys that staff issue in the admin.
    "store": {"url": "django"},
    "auth": {"issued": {}},
    "quotas": [{"name": "daily", "per": ["subject"], "resource": "tokens", "window": "day", "limit": 10_000_000}],
    "prices": {"own": [{"model": "echo", "input": 1, "output": 2}]},
}
