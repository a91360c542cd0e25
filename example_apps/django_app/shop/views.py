from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from .users import make_token, tokens_used


def home(request: HttpRequest) -> HttpResponse:
    """The page to talk to models on, for those who have logged in."""
    user = request.user
    token = make_token(user) if user.is_authenticated else ""
    return render(request, "home.html", {"token": token, "used": tokens_used[f"user:{user.pk}"]})
