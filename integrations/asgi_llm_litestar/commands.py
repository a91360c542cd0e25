"""``litestar llm check`` and ``litestar llm explain``."""

from typing import Any

import click
import msgspec

from asgi_llm import Gateway
from asgi_llm.cli import outline, told

from .plugin import LLMPlugin

__all__ = ["commands"]

_DIALECTS = ("chat", "messages", "responses")


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
@click.option("--dialect", type=click.Choice(_DIALECTS), default="chat", show_default=True)
@click.option("--target", help="The target that the application names for the request.")
@click.option("--path", help="Of the gateway, where there are several.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def explain(environment: Any, model: str, dialect: Any, target: str | None, path: str | None, as_json: bool) -> None:
    """Say where a request would go and why. Exits with 1 where it would be refused."""
    gateways = _gateways(environment)
    if path is None and len(gateways) == 1:
        path = next(iter(gateways))
    if path not in gateways:
        raise click.UsageError(f"say which gateway is meant: --path {' or '.join(gateways)}")
    explanation = gateways[path].explain(model, dialect, target)
    lines = [msgspec.json.encode(explanation).decode()] if as_json else told(explanation)
    for line in lines:
        click.echo(line)
    if explanation.code:
        raise SystemExit(1)


def _gateways(environment: Any) -> dict[str, Gateway]:
    """The gateways of the application by their paths."""
    found = [plugin for plugin in environment.app.plugins.cli if isinstance(plugin, LLMPlugin)]
    return {plugin.config.path: plugin.gateway for plugin in sorted(found, key=lambda plugin: plugin.config.path)}
