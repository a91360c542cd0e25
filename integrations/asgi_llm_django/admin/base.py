"""What the admin's pages have in common."""

import datetime as dt
from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.utils import timezone

from asgi_llm import ConfigError
from asgi_llm_django.project import get_gateway

__all__ = ["KeptAdmin", "ReadOnlyAdmin", "dollars", "moment"]

M = TypeVar("M", bound=Model)

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin
else:
    # It cannot be subscripted at run time.
    class _Admin(admin.ModelAdmin):
        def __class_getitem__(cls, _model: Any) -> type:
            return cls


class KeptAdmin(_Admin[M]):
    """Is there only where the gateway keeps things in the project's database."""

    show_full_result_count = False

    def has_module_permission(self, request: HttpRequest) -> bool:
        try:
            kept = get_gateway().settings.store.address == "django"
        except ConfigError:
            kept = False
        return kept and super().has_module_permission(request)


class ReadOnlyAdmin(KeptAdmin[M]):
    """What the gateway alone writes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def dollars(micro: int | None) -> str:
    """Micro-dollars as dollars, with as many decimals as it takes; ``-`` where nobody knows."""
    if micro is None:
        return "-"
    return f"${micro / 1e6:,.2f}" if micro >= 10_000 or micro == 0 else f"${micro / 1e6:.6f}".rstrip("0")


def moment(seconds: float | None) -> str:
    """Seconds since the epoch, for people, in the time zone that the project shows."""
    if seconds is None:
        return "-"
    shown = dt.datetime.fromtimestamp(seconds, timezone.get_current_timezone())
    return shown.strftime("%Y-%m-%d %H:%M:%S")
