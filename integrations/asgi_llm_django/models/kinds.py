"""What fields hold, for those who check types: without a plugin of theirs they cannot tell."""

import datetime as dt
from decimal import Decimal
from typing import Any, TypeAlias

from django.db import models

__all__ = [
    "Bytes",
    "Day",
    "Flag",
    "Json",
    "MaybeDay",
    "MaybeMoney",
    "MaybeNumber",
    "MaybeText",
    "MaybeTime",
    "Money",
    "Number",
    "Text",
    "Time",
]

Text: TypeAlias = "models.Field[str, str]"
MaybeText: TypeAlias = "models.Field[str | None, str | None]"
Number: TypeAlias = "models.Field[int, int]"
MaybeNumber: TypeAlias = "models.Field[int | None, int | None]"
Time: TypeAlias = "models.Field[float, float]"
MaybeTime: TypeAlias = "models.Field[float | None, float | None]"
Money: TypeAlias = "models.Field[Decimal, Decimal]"
MaybeMoney: TypeAlias = "models.Field[Decimal | None, Decimal | None]"
Day: TypeAlias = "models.Field[dt.date, dt.date]"
MaybeDay: TypeAlias = "models.Field[dt.date | None, dt.date | None]"
Flag: TypeAlias = "models.Field[bool, bool]"
Bytes: TypeAlias = "models.Field[bytes, bytes]"
Json: TypeAlias = "models.Field[Any, Any]"
