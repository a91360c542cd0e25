"""``litestar llm check | explain | keys | usage | doctor``."""

import argparse
from collections.abc import Callable
from typing import Any

import click
import msgspec

from asgi_llm import ConfigError, Gateway
from asgi_llm.cli import DIALECTS, CommandProblem, add_doctor, outline, told
from asgi_llm.errors import StoreError
from asgi_llm.keys_command import add_keys
from asgi_llm.usage_command import add_usage

from .plugin import LLMPlugin

__all__ = ["commands"]


@click.group("llm", help="The gateway to language models.")
def commands() -> None:
    """The same for every application: which one it is about stands in the context, as Litestar leaves it there."""


@commands.command()
@click.pass_obj
def check(environment: Any) -> None:
    """Show what is configured. Mistakes are told when the application is loaded."""
    for path, gateway in _gateways(environment).items():
        for line in (f"below {path}", *outline(gateway.settings)):
            click.echo(line)


@commands.command()
@click.option("--model", required=True, help="As the caller names it.")
@click.option("--dialect", type=click.Choice(DIALECTS), default="chat", show_default=True)
@click.option("--target", help="The target that the application names for the request.")
@click.option("--path", help="Of the gateway, where there are several.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def explain(environment: Any, model: str, dialect: Any, target: str | None, path: str | None, as_json: bool) -> None:
    """Say where a request would go and why. Exits with 1 where it would be refused."""
    explanation = _gateway(environment, path).explain(model, dialect, target)
    lines = [msgspec.json.encode(explanation).decode()] if as_json else told(explanation)
    for line in lines:
        click.echo(line)
    if explanation.code:
        raise SystemExit(1)


def _shared(name: str, summary: str, add: Callable[[Any, Callable[[], Gateway]], None]) -> None:
    """Adds a command that is that of ``asgi-llm``, with its options and its help."""

    @commands.command(name, help=summary, add_help_option=False, context_settings={"ignore_unknown_options": True})
    @click.option("--path", help="Of the gateway, where there are several.")
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    @click.pass_obj
    def run(environment: Any, path: str | None, arguments: tuple[str, ...]) -> None:
        parser = argparse.ArgumentParser(prog="litestar llm")
        add(parser.add_subparsers(), lambda: _gateway(environment, path))
        options = parser.parse_args([name, *arguments])
        try:
            raise SystemExit(options.run(options))
        except (ConfigError, CommandProblem) as error:
            raise click.ClickException(str(error)) from None
        except StoreError as error:
            raise click.ClickException(error.message) from None


def _say(line: str) -> None:
    click.echo(f"asgi-llm: {line}", err=True)


_shared("keys", "Issue API keys, list, revoke and rotate them.", lambda to, gateway: add_keys(to, _say, gateway))
_shared("usage", "Say what was used and what it cost.", lambda to, gateway: add_usage(to, lambda: gateway().settings))
_shared("doctor", "Say whether streams stream through all that is in front.", lambda to, _gateway: add_doctor(to))


def _gateway(environment: Any, path: str | None) -> Gateway:
    gateways = _gateways(environment)
    if path is None and len(gateways) == 1:
        path = next(iter(gateways))
    if path not in gateways:
        raise click.UsageError(f"say which gateway is meant: --path {' or '.join(gateways)}")
    return gateways[path]


def _gateways(environment: Any) -> dict[str, Gateway]:
    """The gateways of the application by their paths."""
    found = [plugin for plugin in environment.app.plugins.cli if isinstance(plugin, LLMPlugin)]
    return {plugin.config.path: plugin.gateway for plugin in sorted(found, key=lambda plugin: plugin.config.path)}
