"""The gateway with everything that it keeps in the project's database."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connections

from asgi_llm import Gateway
from asgi_llm.identity import Identity
from asgi_llm_django import budget_exhausted, get_gateway, key_issued, key_revoked
from asgi_llm_django.models import APIKey, Price, QuotaHold, QuotaSpent, Response, Usage

from .conftest import add_database

KEPT: dict[str, Any] = {
    "store": {"url": "django"},
    "ledger": {"interval": 0.01},
    "auth": {"anonymous": False, "issued": {}},
    "quotas": [{"name": "daily", "per": ["subject"], "resource": "tokens", "window": "day", "limit": 1_000_000}],
    "responses": {"stateful": True, "signatures": True},
}


async def eventually(says: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not await asyncio.to_thread(says):
            await asyncio.sleep(0.02)
