"""The kinds of upstream: which dialects each speaks, where, how it authenticates and what it cannot take.

One file a provider; ``provider.py`` says what a provider is, ``headers.py`` which headers pass, ``registry.py``
gathers them by name.
"""
