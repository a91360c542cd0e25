"""Endpoints that are no dialect: embeddings, images, audio, files and the like, forwarded as they are.

``table`` says what there is and what each needs; ``envelope`` and ``form`` find the model in a body, ``answer`` and
``events`` read what an answer used. The one translation, of embeddings for Gemini, is in ``embeddings``.
"""

from .table import BY_NAME, FORWARDED, Forwarded

__all__ = ["BY_NAME", "FORWARDED", "Forwarded"]
