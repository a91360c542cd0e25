"""The command line: ``asgi-llm demo | serve | check | explain | usage | keys | doctor``.

Answers go to standard output, everything else to standard error. Exit codes: 0, 1 for a problem, 2 for wrong usage.
"""

import argparse
import asyncio
import importlib
import importlib.util
import logging
import os
import socket
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec

import asgi_llm
from asgi_llm.asgi.loopback import LoopbackOnly, is_loopback
from asgi_llm.asgi.middleware import LLMMiddleware
from asgi_llm.dialects.forwarded import BY_NAME
from asgi_llm.errors import ConfigError, StoreError
from asgi_llm.explain import ExplainedLeg, Explanation
from asgi_llm.gateway import Gateway
from asgi_llm.keys_command import add_keys
from asgi_llm.neutral.request import DialectName
from asgi_llm.providers.provider import Provider
from asgi_llm.providers.registry import PROVIDERS
from asgi_llm.server.run import bind, has_fast_loop, installed, on_hangup, run
from asgi_llm.settings import FallbackSettings, Settings, literal_secrets
from asgi_llm.source import METAVAR, gateway_of
from asgi_llm.types import ASGIApp, Receive, Scope, Send
from asgi_llm.usage_command import add_usage

__all__ = ["DIALECTS", "CommandProblem", "add_doctor", "main", "outline", "reachable", "told"]

DIALECTS: tuple[str, ...] = get_args(DialectName)
"""What a caller may speak."""

_INSTALL_SERVER = 'this needs a server: pip install "asgi-llm[server]"'
_INSTALL_DEMO = 'the demo needs FastAPI and a server: pip install "asgi-llm[demo]"'


class CommandProblem(Exception):  # noqa: N818  # said to the user in one line, never shown as an exception
    """Ends the command with exit code 1."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except ConfigError as error:
        for problem in error.problems:
            _say(str(problem))
        return 1
    except StoreError as error:
        _say(error.message)
        return 1
    except CommandProblem as problem:
        _say(str(problem))
        return 1
    except BrokenPipeError:
        # Whoever read the output has read enough. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="asgi-llm", description="An LLM gateway for web applications.")
    parser.add_argument("--version", action="version", version=f"asgi-llm {asgi_llm.__version__}")
    commands = parser.add_subparsers(required=True, metavar="demo|serve|check|explain|usage|keys|doctor")

    demo = commands.add_parser("demo", help="try it in the browser: no key, no network")
    demo.set_defaults(run=_demo)
    serve = commands.add_parser("serve", help="run a gateway of its own")
    serve.set_defaults(run=_serve)
    serve.add_argument("file", metavar="FILE.toml", type=Path)
    serve.add_argument("--prefix", default="/", type=_prefix, help='where it answers (default: "/")')
    for command in (demo, serve):
        command.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        command.add_argument("--port", default=8000, type=_port, help="default: %(default)s")

    add_keys(commands, _say)

    check = commands.add_parser("check", help="look for mistakes in the settings")
    check.set_defaults(run=_check)
    check.add_argument("source", metavar=METAVAR)

    explain = commands.add_parser("explain", help="say where a request would go and why")
    explain.set_defaults(run=_explain)
    explain.add_argument("source", metavar=METAVAR)
    explain.add_argument("--model", required=True, help="as the caller names it")
    explain.add_argument("--dialect", choices=DIALECTS, default="chat")
    explain.add_argument(
        "--endpoint", choices=tuple(BY_NAME), metavar="NAME", help="one beside the dialects: embeddings"
    )
    explain.add_argument("--target", help="the target that the host application names for the request")
    explain.add_argument("--json", action="store_true", help="for programs")
    add_doctor(commands)

    add_usage(commands)
    return parser


def _port(text: str) -> int:
    if text.isdigit() and len(text) < 6 and int(text) < 65536:
        return int(text)
    raise argparse.ArgumentTypeError("must be a number from 0 to 65535")


def _prefix(text: str) -> str:
    if not text.startswith("/"):
        raise argparse.ArgumentTypeError('must begin with a slash, as in "/llm"')
    return text.rstrip("/")


def _say(line: str) -> None:
    print(f"asgi-llm: {line}", file=sys.stderr, flush=True)


# demo


def reachable(environ: Mapping[str, str]) -> dict[str, Provider]:
    """The providers that can be reached with nothing but a key that is in ``environ``, one for each variable."""
    found: dict[str, Provider] = {}
    for provider in PROVIDERS.values():
        variable = provider.key_variable
        if provider.base_url and provider.models and variable and environ.get(variable, "").strip():
            found.setdefault(variable, provider)
    return found


def _demo(options: argparse.Namespace) -> int:
    if importlib.util.find_spec("fastapi") is None or not installed():
        raise CommandProblem(_INSTALL_DEMO)
    demo: Any = importlib.import_module("asgi_llm_fastapi.demo")
    settings = Settings.load(demo.settings(os.environ))
    local = is_loopback(options.host)
    if not local and len(settings.targets) > 1:
        raise CommandProblem(
            f"the demo asks nobody for a key and would spend yours: unset {' and '.join(demo.keys(os.environ))} "
            f"to show it on {options.host}"
        )
    with _listen(options.host, options.port, search=True) as listener:
        port = listener.getsockname()[1]
        if options.port not in (0, port):
            _say(f"port {options.port} is taken, so this is port {port}")
        for line in demo.welcome(_address(options.host, port), settings):
            print(line, flush=True)
        app = demo.create_app(settings)
        return 0 if run(LoopbackOnly(app) if local else app, listener, grace=1) else 1


# serve


def _serve(options: argparse.Namespace) -> int:
    settings, undecided = _served(options)
    if not installed():
        raise CommandProblem(_INSTALL_SERVER)
    if undecided:
        _say("warning: no keys are configured, so every program on this machine may call it")
    gateway = Gateway(settings)
    app: ASGIApp = gateway.asgi
    if options.prefix:
        app = LLMMiddleware(_nothing, gateway, options.prefix, forward_lifespan=False)
    if undecided:
        app = LoopbackOnly(app)
    with _listen(options.host, options.port) as listener:
        loop = "uvloop" if has_fast_loop() else "asyncio"
        address = _address(options.host, listener.getsockname()[1])
        print(f"serving {', '.join(settings.targets)} on {address}{options.prefix} ({loop})", flush=True)
        if loop == "asyncio":
            _say("warning: it would be faster with uvloop: pip install uvloop")
        logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        on_hangup(lambda: _reload(gateway, options, undecided))
        return 0 if run(app, listener, grace=settings.limits.shutdown_grace) else 1


def _served(options: argparse.Namespace) -> tuple[Settings, bool]:
    """The settings, and whether they leave open who may call: then it is whoever is on this machine."""
    settings = Settings.load(options.file)
    undecided = not (settings.auth.keys or settings.auth.issued or settings.auth.anonymous)
    if undecided:
        if not is_loopback(options.host):
            raise CommandProblem(
                f"nobody could call it on {options.host}: add [[auth.keys]] to {options.file}, "
                "or set auth.anonymous = true to let everybody in who can reach it"
            )
        settings = settings.model_copy(update={"auth": settings.auth.model_copy(update={"anonymous": True})})
    return settings, undecided


def _reload(gateway: Gateway, options: argparse.Namespace, undecided: bool) -> None:
    """Goes on with what the file says now, or as before if that cannot work."""
    try:
        settings, now_undecided = _served(options)
        if not now_undecided or undecided:
            gateway.reload(settings)
            _say(f"the settings of {options.file} are in force")
            return
        # Nothing would keep the web pages out that a browser on this machine shows.
        _say("there are no keys any more, which takes a restart")
    except (ConfigError, CommandProblem) as error:
        for problem in error.problems if isinstance(error, ConfigError) else [error]:
            _say(str(problem))
    _say("the settings stay as they were")


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """What is served beside the prefix."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})


def _listen(host: str, port: int, *, search: bool = False) -> Any:
    try:
        return bind(host, port, search=search)
    except OSError as error:
        # Names that do not resolve have a number of another kind, and words of their own.
        reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        raise CommandProblem(f"{host}:{port} cannot be listened on: {reason}") from None


def _address(host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{shown}:{port}"


# check


def _check(options: argparse.Namespace) -> int:
    gateway = gateway_of(options.source)
    file = Path(options.source)
    tree = tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for path in literal_secrets(tree):
        _say(f"warning: {path}: the secret itself is in the file; refer to it, as in env://NAME or file:///path")
    for line in outline(gateway.settings):
        print(line)
    return 0


def outline(settings: Settings) -> list[str]:
    """What is configured, in lines for people."""
    lines = [f"ok: {_count(len(settings.targets), 'target')}, {_count(len(settings.routes), 'route')}"]
    for name, target in settings.targets.items():
        dialects = target.dialects or PROVIDERS[target.provider].dialects
        lines.append(f"  {name}: {target.provider}, speaks {', '.join(dialects)}")
    lines += [
        f"  {route.model} -> {' -> '.join((route.target, *map(_told_fallback, route.fallback)))}"
        for route in settings.routes
    ]
    if settings.default_target or len(settings.targets) == 1:
        lines.append(f"  everything else -> {settings.default_target or next(iter(settings.targets))}")
    return lines


def _told_fallback(leg: FallbackSettings) -> str:
    told = leg.target if leg.model is None else f"{leg.target} as {leg.model}"
    return told if leg.on == "failure" else f"{told} (on {leg.on})"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# doctor


def add_doctor(commands: Any) -> None:
    """Adds the command to a parser's ``commands``."""
    doctor = commands.add_parser("doctor", help="say whether streams stream through all that is in front")
    doctor.set_defaults(run=_doctor)
    doctor.add_argument("url", metavar="URL", help="of the gateway, with its prefix")
    doctor.add_argument("--key", help="that it knows, or env://NAME (default: the variable GATEWAY_KEY)")
    doctor.add_argument("--json", action="store_true", help="for programs")


def _doctor(options: argparse.Namespace) -> int:
    probe, words = (importlib.import_module(f"asgi_llm.doctor.{name}") for name in ("probe", "words"))
    key = options.key or os.environ.get("GATEWAY_KEY")
    if key and key.startswith("env://"):
        key = os.environ.get(key.removeprefix("env://"))
        if key is None:
            raise CommandProblem(f"--key: the environment variable {options.key.removeprefix('env://')} is not set")
    found = asyncio.run(probe.examine(options.url, key))
    told = list(words.findings(found))
    print(words.as_json(found, told) if options.json else words.as_text(told))
    return 1 if any(finding.sound is False for finding in told) else 0


# explain


def _explain(options: argparse.Namespace) -> int:
    explanation = gateway_of(options.source).explain(options.model, options.dialect, options.target, options.endpoint)
    if options.json:
        print(msgspec.json.format(msgspec.json.encode(explanation)).decode())
    else:
        for line in told(explanation):
            print(line)
    return 1 if explanation.code else 0


_RUNGS = {
    "host": "the host application named the target",
    "default": "no route matches, so the default target decides",
    "single": "no route matches, and there is only one target",
}


def told(explanation: Explanation) -> list[str]:
    """An explanation in lines for people."""
    lines = [f"model {explanation.model}, {explanation.dialect} dialect"]
    if explanation.rung is not None:
        lines.append(_RUNGS.get(explanation.rung, f'the route "{explanation.route}" matches'))
    for number, leg in enumerate(explanation.legs, 1):
        lines += _told_leg(number, leg)
    if explanation.code is not None:
        lines.append(f"refused with {explanation.status} {explanation.code}: {explanation.message}")
    return lines


_USES = {
    "first": "",
    "fallback": " (fallback)",
    "overflow": " (overflow: for requests that are too long for those before)",
    "any": " (fallback and overflow)",
    "never": " (never asked)",
}


_HOW = {
    "verbatim": "the caller's bytes pass as they are",
    "patched": "the caller's bytes pass, adapted where this server must have it so",
}


def _told_leg(number: int, leg: ExplainedLeg) -> list[str]:
    how = _HOW.get(leg.mode, f"translated to {leg.dialect}")
    state = _USES[leg.use]
    lines = [f"  {number}. {leg.target}{state}: {leg.provider}, as {leg.model}, {how}"]
    if leg.denied is not None:
        lines.append(f"     not permitted: {leg.denied}")
    return lines + [f"     worker {url}" for url in leg.workers]
