"""What a command is about: a file of settings, or the gateway of an application, as ``shop.main:gateway``."""

import importlib
import re
import sys
from pathlib import Path

from asgi_llm.errors import ConfigError, Problem
from asgi_llm.gateway import Gateway
from asgi_llm.settings import Settings

__all__ = ["METAVAR", "gateway_of", "settings_of"]

METAVAR = "FILE.toml|MODULE:GATEWAY"

_NAME = re.compile(r"([A-Za-z_][\w.]*):([A-Za-z_][\w.]*)")


def gateway_of(source: str) -> Gateway:
    """
    Raises:
        ConfigError: the settings cannot work, or there is no such gateway.
    """
    named = _NAME.fullmatch(source)
    if named and not Path(source).exists():
        return _find(*named.groups())
    return Gateway(_file(source))


def settings_of(source: str) -> Settings:
    """
    Raises:
        ConfigError: as ``gateway_of``.
    """
    named = _NAME.fullmatch(source)
    return gateway_of(source).settings if named else Settings.load(_file(source))


def _file(source: str) -> str:
    if "." in source or "/" in source or Path(source).exists():
        return source
    raise ConfigError([Problem("", f'"{source}" is no file; a gateway in Python is named as in shop.main:gateway')])


def _find(module: str, name: str) -> Gateway:
    sys.path.insert(0, str(Path.cwd()))  # where servers look, too
    try:
        found: object = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ConfigError([Problem("", f'there is no module "{error.name}" here')]) from None
    for part in name.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, Gateway):
        told = "is not there" if found is None else f"is no Gateway, but {type(found).__name__}"
        raise ConfigError([Problem("", f'"{name}" of {module} {told}')])
    return found
