"""What each generation of Gemini models takes, by name, as data.

Source: Gemini API, "Models", "Thinking", "Thought signatures". A name without a version (an alias such as
``gemini-flash-latest``) is taken for the newest generation, any other model for one that does not think.
"""

import re
from dataclasses import dataclass, replace
from functools import lru_cache

__all__ = ["Capabilities", "capabilities"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a model takes.

    Attributes:
        levels: values of ``thinkingLevel``, ascending; empty where the model takes none.
        budget: lowest and highest ``thinkingBudget`` in tokens, or None where it takes none.
        signatures: function calls of the history must carry a thought signature.
        result_media: ``functionResponse.parts``.
        mixed_tools: functions beside the provider's own tools, and mode VALIDATED.
    """

    levels: tuple[str, ...] = ()
    budget: tuple[int, int] | None = None
    signatures: bool = False
    result_media: bool = False
    mixed_tools: bool = False


_OLD = Capabilities()
_2_5_PRO = Capabilities(budget=(128, 32768))
_2_5_FLASH = Capabilities(budget=(0, 24576))
_3_FLASH = Capabilities(
    levels=("minimal", "low", "medium", "high"), signatures=True, result_media=True, mixed_tools=True
)
_3_FLASH_LATER = replace(_3_FLASH, levels=("low", "medium", "high"))
_3_PRO = replace(_3_FLASH, levels=("low", "high"))
_3_PRO_LATER = _3_FLASH_LATER
_4_FLASH = replace(_3_FLASH, levels=("low", "medium", "high", "xhigh"))

_NAME = re.compile(r"(?:^|/)gemini-(?:(?P<major>\d+)(?:[.-](?P<minor>\d+)(?!\d))?-)?(?P<rest>.*)$")


@lru_cache(maxsize=512)
def capabilities(model: str) -> Capabilities:
    """What ``model`` takes."""
    found = _NAME.search(model.lower())
    if found is None:
        return _OLD
    major, minor = int(found["major"] or 4), int(found["minor"] or 0)
    pro = "pro" in found["rest"]
    match major, minor:
        case (0 | 1, _):
            return _OLD
        case 2, minor:
            return _OLD if minor < 5 else _2_5_PRO if pro else _2_5_FLASH
        case 3, minor if pro:
            return _3_PRO if minor == 0 else _3_PRO_LATER
        case 3, minor:
            return _3_FLASH if minor < 7 else _3_FLASH_LATER
        case _:
            return _4_FLASH
