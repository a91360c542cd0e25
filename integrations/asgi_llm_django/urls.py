"""To include under a prefix of its own: ``path("llm/", include("asgi_llm_django.urls"))``."""

from django.urls import re_path

from .views import llm

app_name = "asgi_llm"
urlpatterns = [re_path(r"^(?P<rest>.*)$", llm, name="gateway")]
