"""Pure routing decisions: state in, decision out; no clock, no I/O.

``resolve.py`` finds the target of a model, ``catalog.py`` says what a target may be asked for, ``balance/`` picks a
worker, ``retry.py`` judges a failed attempt, ``breaker.py`` remembers the failures of a worker.
"""
