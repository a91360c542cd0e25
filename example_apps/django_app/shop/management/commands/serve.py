"""``manage.py serve``: makes the tables and two users if they are not there, and serves the shop by ASGI."""

from typing import Any

import uvicorn
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser


class Command(BaseCommand):
    help = "Serves the shop, with its tables and two users: ann of the staff, and bob."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8000)

    def handle(self, *_arguments: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0)
        users = get_user_model().objects
        for name in ("ann", "bob"):
            if not users.filter(username=name).exists():
                ann = name == "ann"
                users.create_user(name, password=f"{name}'s password", is_staff=ann, is_superuser=ann)
        self.stdout.write("Log in as ann, whose password is: ann's password")
        uvicorn.run("shop.asgi:application", port=options["port"])
