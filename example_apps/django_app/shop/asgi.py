import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
shop = get_asgi_application()

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler  # noqa: E402

from asgi_llm_django import with_lifespan  # noqa: E402  # the settings come first

# The admin's files are served here for an example's sake; elsewhere they are the web server's, or WhiteNoise's.
application = with_lifespan(ASGIStaticFilesHandler(shop))
