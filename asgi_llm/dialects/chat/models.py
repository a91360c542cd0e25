"""What the origin's own models take, where its documentation tells them apart by family ("Reasoning models").

Only names that are known are listed: any other model is taken to accept everything, and the upstream will tell.
"""

import re

from asgi_llm.dialects.interface import Profile

__all__ = ["searches", "thinks"]

_THINKING = re.compile(r"(?:o[1-9]|gpt-(?:[5-9]|[1-9]\d))(?![\w])(?!.*chat)")
_SEARCHING = re.compile(r"-search(?:-|$)")


def thinks(profile: Profile, model: str) -> bool:
    """Whether the model reasons before it answers, and therefore refuses sampling parameters and stop sequences."""
    return profile.origin and _THINKING.match(model) is not None


def searches(profile: Profile, model: str) -> bool:
    """Whether the model takes ``web_search_options``."""
    return profile.origin and _SEARCHING.search(model) is not None
