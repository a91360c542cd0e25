"""The application for ``INSTALLED_APPS``."""

from django.apps import AppConfig
from django.core.signals import setting_changed

__all__ = ["LLMConfig"]


class LLMConfig(AppConfig):
    name = "asgi_llm_django"
    label = "asgi_llm"
    verbose_name = "LLM gateway"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Runs for every management command: no gateway is made here, no thread and no connection.
        from . import checks  # noqa: F401  # registers them; needs the settings
        from .project import forget

        setting_changed.connect(forget, dispatch_uid="asgi_llm_django")
