"""``manage.py asgi_llm check | explain | routes | keys | usage | doctor``."""

import argparse
import asyncio
import io
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError, CommandParser

from asgi_llm import ConfigError, Gateway
from asgi_llm.cli import DIALECTS, CommandProblem, add_doctor, outline, told
from asgi_llm.errors import StoreError
from asgi_llm.keys_command import add_keys
from asgi_llm.settings import literal_secrets
from asgi_llm.usage_command import add_usage
from asgi_llm_django.places import prefixes
from asgi_llm_django.project import SETTING, get_gateway, tree
from asgi_llm_django.stores.desk import Desk
from asgi_llm_django.tables import RUN, missing_migrations


class Command(BaseCommand):
    help = "Tells about the gateway to language models."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=argparse.ArgumentParser)
        check = commands.add_parser("check", help="look for mistakes in the settings, and say what they mean")
        check.set_defaults(tell=self._check)
        explain = commands.add_parser("explain", help="say where a request would go and why")
        explain.set_defaults(tell=self._explain)
        explain.add_argument("--model", required=True, help="as the caller names it")
        explain.add_argument("--dialect", choices=DIALECTS, default="chat")
        explain.add_argument("--target", help="the target that the project names for the request")
        explain.add_argument("--json", action="store_true", help="for programs")
        routes = commands.add_parser("routes", help="list what is answered, and where")
        routes.set_defaults(tell=self._routes)
        # These are the same as those of the command "asgi-llm".
        add_keys(commands, self._say, get_gateway)
        add_usage(commands, lambda: get_gateway().settings)
        add_doctor(commands)

    def handle(self, *_arguments: Any, **options: Any) -> None:
        try:
            gateway = get_gateway()
        except ConfigError as error:
            raise CommandError("\n".join(map(str, error.problems))) from None
        if "tell" in options:
            options["tell"](gateway, options)
        else:
            self._run(options["run"], argparse.Namespace(**options))

    def _run(self, command: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> None:
        answer = io.StringIO()
        try:
            with redirect_stdout(answer):
                code = command(options)
        except ConfigError as error:
            raise CommandError("\n".join(f"{SETTING}.{problem}" for problem in error.problems)) from None
        except StoreError as error:
            raise CommandError(error.message) from None
        except CommandProblem as problem:
            raise CommandError(str(problem)) from None
        finally:
            self.stdout.write(answer.getvalue(), ending="")
        if code:
            raise CommandError("that did not work", returncode=code)

    def _say(self, line: str) -> None:
        self.stderr.write(f"asgi-llm: {line}")

    def _check(self, gateway: Gateway, _options: dict[str, Any]) -> None:
        for path in literal_secrets(tree()):
            self.stderr.write(f"warning: {SETTING}.{path}: the secret itself is in the settings")
        if gateway.settings.store.address == "django" and (missing := asyncio.run(Desk().read(missing_migrations))):
            self.stderr.write(f"warning: tables of the gateway are missing ({', '.join(missing)}): {RUN}")
        self._write(outline(gateway.settings))

    def _explain(self, gateway: Gateway, options: dict[str, Any]) -> None:
        explanation = gateway.explain(options["model"], options["dialect"], options["target"])
        if options["json"]:
            self.stdout.write(msgspec.json.format(msgspec.json.encode(explanation)).decode())
        else:
            self._write(told(explanation))
        if explanation.code:
            raise CommandError("the request would be refused")

    def _routes(self, gateway: Gateway, _options: dict[str, Any]) -> None:
        places = list(prefixes())
        for prefix in places:
            for endpoint in gateway.asgi.table.served:
                methods = ",".join(sorted(endpoint.methods))
                self.stdout.write(f"{methods:9} {prefix}{endpoint.path.removeprefix('/')}  {endpoint.summary}")
        if not places:
            raise CommandError(
                "no URLconf includes asgi_llm_django.urls; with intercept() in asgi.py, its prefix is where they are"
            )

    def _write(self, lines: list[str]) -> None:
        for line in lines:
            self.stdout.write(line)
