"""How one of several workers is picked: one policy a file, each a function of candidates and its own state."""
