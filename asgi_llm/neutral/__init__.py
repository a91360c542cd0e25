"""The neutral model: a superset of what the four dialects can say. Values only, no behaviour beyond invariants.

``request`` holds what is asked, made of ``parts`` and ``tools``; ``response`` a whole answer, ``events`` an answer in
pieces, ``usage`` the token counts of either; ``fold`` turns pieces into a whole and back. Nothing here knows any wire
format.
"""
