"""A page that shows how a gateway does, and the JSON behind it.

The page holds nothing but itself: no figure stands in it, and nothing of it comes from elsewhere. It asks for the
figures under the address at which it was found, so that it works below any prefix.
"""
