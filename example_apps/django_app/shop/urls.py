from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import include, path

from .users import make_token, tokens_used


def home(request: HttpRequest) -> HttpResponse:
    """The page to talk to models on, for those who have logged in."""
    user = request.user
    token = make_token(user) if user.is_authenticated else ""
    return render(request, "home.html", {"token": token, "used": tokens_used[f"user:{user.pk}"]})


urlpatterns = [
    path("", home, name="home"),
    path("login/", LoginView.as_view(template_name="login.html"), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
    path("llm/", include("asgi_llm_django.urls")),
]
