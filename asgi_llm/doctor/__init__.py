"""``asgi-llm doctor``: whether what is in front of a gateway lets its streams stream. ``probe.py`` measures, and
``words.py`` says what is to be changed."""
