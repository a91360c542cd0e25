"""The way of a request: admit, plan, attempt, relay, settle. One module a step; ``handle.py`` is where to start."""
