"""asgi-llm in a Django project.

INSTALLED_APPS = [..., "asgi_llm_django"]                                 # settings.py
ASGI_LLM = {"targets": {...}}
urlpatterns = [..., path("llm/", include("asgi_llm_django.urls"))]        # urls.py
application = with_lifespan(get_asgi_application())                       # asgi.py
"""

try:
    import django as _django
except ImportError as error:
    raise ImportError('asgi_llm_django needs Django: pip install "asgi-llm[django]"') from error

if _django.VERSION < (5, 2):
    raise ImportError(f"asgi_llm_django needs Django 5.2 or newer; this is {_django.get_version()}")

from .asgi import intercept, with_lifespan
from .client import allm_client, llm_client
from .identity import identity_of
from .project import get_gateway, reload
from .signals import budget_exhausted, exchange_settled, key_issued, key_revoked

__all__ = [
    "allm_client",
    "budget_exhausted",
    "exchange_settled",
    "get_gateway",
    "identity_of",
    "intercept",
    "key_issued",
    "key_revoked",
    "llm_client",
    "reload",
    "with_lifespan",
]
