"""The page about the providers, from their records: where each is, what it speaks, what is adapted to it.

python -m asgi_llm.providers.page > docs/providers.md
"""

import sys
from collections.abc import Iterable, Iterator

from asgi_llm.dialects.profile import Order, Profile

from .openai_compatible import COMPATIBLE
from .provider import Provider
from .registry import PROVIDERS

__all__ = ["page"]

_HEAD = """# Providers

A target names its `provider`. That decides where it is, how a key is shown, which dialects it is spoken to in, and what
a request must look like there. A caller who speaks one of its dialects is passed on as it is; any other is translated
to the first. What has to be left out or replaced for a provider is named in the `x-llm-warnings` header; see [what
translation loses](lossiness.md).

```toml
[targets.local]
provider = "ollama"                     # its own address

[targets.claude]
provider = "openrouter"
api_key = "env://OPENROUTER_API_KEY"

[targets.gpt]
provider = "azure"
base_url = "https://my-resource.openai.azure.com"    # the v1 API: /openai/v1, no api-version
api_key = "env://AZURE_OPENAI_API_KEY"
models = { "gpt-5" = "my-deployment" }
```

"""

_NOTES = """
The base URL may be given as the provider's documentation gives it for any of its dialects. `asgi-llm demo` uses the
keys that it finds in the variables above, save those of `azure` and `ollama`.

* `azure`: the name of the deployment stands for the model. Claude on Azure is `provider = "anthropic"` with the base
  URL `https://<resource>.services.ai.azure.com/anthropic`.
* `glm`: a coding plan has its own address, for Chat Completions only: `base_url =
  "https://api.z.ai/api/coding/paas/v4"` and `dialects = ["chat"]`.
* `ollama` in the cloud: `base_url = "https://ollama.com"` and a key.
* `gemini_chat` is Google's Chat Completions endpoint; `gemini` speaks Gemini's own dialect, which loses less.

## What is adapted in Chat Completions

To OpenAI and Azure: nothing, save that models which reason get no sampling parameters. Towards all others `developer`
becomes `system` and free text tools become functions; `strict`, `store`, `metadata`, `service_tier` and the like are
left out, unless the list says that they are taken. Beyond that:

"""


def page() -> str:
    """The Markdown page."""
    rows = [_row(provider) for provider in PROVIDERS.values()]
    table = ["| provider | | base URL | speaks | key commonly in |", "|---|---|---|---|---|", *rows]
    chatting = [provider for provider in PROVIDERS.values() if not provider.profile.origin]
    items = [f"* `{provider.name}`: {'; '.join(_adapted(provider.profile)) or 'nothing more'}" for provider in chatting]
    return _HEAD + "\n".join(table) + "\n" + _NOTES + "\n".join(items) + "\n"


def _row(provider: Provider) -> str:
    url = "in process" if provider.embedded else f"`{provider.base_url}`" if provider.base_url else "yours"
    key = f"`{provider.key_variable}`" if provider.key_variable else ""
    return f"| `{provider.name}` | {provider.title or provider.name} | {url} | {', '.join(provider.dialects)} | {key} |"


def _adapted(profile: Profile) -> Iterator[str]:
    """What the profile says beyond that of any compatible server."""
    if profile.lacks:
        yield f"without {_names(sorted(profile.lacks))}"
    yield from _knobs(profile)
    yield from _thoughts(profile)
    yield from _tools(profile)
    yield from _messages(profile)
    if profile.families:
        yield f"other rules for models {_names(kind.models for kind in profile.families)}"


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _knobs(profile: Profile) -> Iterator[str]:
    if profile.extras:
        yield f"takes {_names(sorted(profile.extras))}"
    if profile.end_user_field != COMPATIBLE.end_user_field:
        yield f"end users as `{profile.end_user_field}`"
    if profile.engine_sampling:
        yield "`top_k` and `min_p`"
    if profile.max_tokens_field != COMPATIBLE.max_tokens_field:
        yield f"`{profile.max_tokens_field}`"
    if profile.temperature_range is not None:
        yield "temperature from {:g} to {:g}".format(*profile.temperature_range)
    if profile.max_stop != COMPATIBLE.max_stop:
        yield f"{'any number of' if profile.max_stop is None else f'at most {profile.max_stop}'} stop sequences"
    if profile.seed_field != COMPATIBLE.seed_field:
        yield f"`{profile.seed_field}` for `seed`"
    if not profile.json_schema:
        yield "schemas of answers said in words"
    if not profile.stream_usage:
        yield "usage comes unasked"
    if profile.adds:
        yield f"sends {_names(name for name, _ in profile.adds)}"


def _thoughts(profile: Profile) -> Iterator[str]:
    match profile.reasoning_field:
        case None:
            pass
        case "content":
            yield "thoughts back as parts of the content"
        case field:
            yield f"thoughts back in `{field}`" + (" wherever there are calls" if profile.reasoning_always else "")
    if profile.reasoning_details is not None:
        yield "`reasoning_details` back"
    if profile.call_signatures:
        yield "signatures of calls back"
    if profile.thinking_switch is not None:
        yield f"thinking by `{profile.thinking_switch}`"
    if profile.reasoning_effort and profile.efforts != COMPATIBLE.efforts:
        yield f"efforts {_names(profile.efforts)}"
    elif not profile.reasoning_effort:
        yield "no efforts"


def _tools(profile: Profile) -> Iterator[str]:
    if profile.strict_tools:
        yield "takes `strict`"
    if not profile.parallel_tool_calls:
        yield "no `parallel_tool_calls`"
    if missing := COMPATIBLE.tool_choices - profile.tool_choices:
        yield f"no tool choice {_names(sorted(missing))}"
    if not profile.forced_tools_think:
        yield "thinking is turned off for a forced tool"
    if profile.tool_id_limit != COMPATIBLE.tool_id_limit:
        yield f"ids of calls are {profile.tool_id_limit} letters and digits"
    if profile.tool_stream:
        yield "asks for calls to be streamed"


def _messages(profile: Profile) -> Iterator[str]:
    if profile.developer_role:
        yield "takes `developer`"
    if profile.cache_marks:
        yield "takes `cache_control`"
    if not profile.image_urls:
        yield "images by content only"
    match profile.documents:
        case None:
            yield "no documents"
        case "file_url" | "document_url":
            yield "documents by content or URL"
    if profile.order is not None:
        yield from _order(profile.order)


def _order(order: Order) -> Iterator[str]:
    if not order.system_turns:
        yield "one system message, at the beginning"
    if order.alternating:
        yield "user and assistant by turns"
    if not order.user_after_tool:
        yield "an assistant's word between tool and user"
    if not order.empty_messages:
        yield "no empty messages"
    if order.prefill is not None:
        yield f"`{order.prefill}` on a last assistant message"


if __name__ == "__main__":
    sys.stdout.write(page())
