"""Where servers have the endpoints that are forwarded: at the usual paths, in the groups in which they come."""

from asgi_llm.dialects.forwarded import BY_NAME, FORWARDED

__all__ = ["AUDIO", "BATCHES", "EVERYTHING", "FILES", "IMAGES", "ROOT_SGLANG", "ROOT_TOKENS", "paths_of"]

IMAGES = ("images_generations", "images_edits", "images_variations")
AUDIO = ("audio_speech", "audio_transcriptions", "audio_translations")
FILES = ("files", "file", "file_content")
BATCHES = ("batches", "batch", "batch_cancel")


def paths_of(*names: str, root: bytes = b"") -> dict[str, bytes]:
    """The usual paths of these endpoints behind a base URL that ends in a version; ``root`` stands before them."""
    return {name: root + BY_NAME[name].path.removeprefix("/v1").encode("ascii") for name in names}


def _beside(*names: str) -> dict[str, bytes]:
    """For engines that serve them beside ``/v1``."""
    return {name: b"/.." + BY_NAME[name].path.encode("ascii") for name in names}


ROOT_TOKENS = _beside("tokenize", "detokenize")
ROOT_SGLANG = _beside("generate", "server_info", "model_info", "health_generate")

EVERYTHING = {
    **paths_of(*(item.name for item in FORWARDED if item.path.startswith("/v1/"))),
    **ROOT_TOKENS,
    **ROOT_SGLANG,
}
"""Of a server about which nothing is known: whether it has one shows when it is asked."""
