import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
shop = get_asgi_application()

from asgi_llm_django import with_lifespan  # noqa: E402  # the settings come first

application = with_lifespan(shop)
