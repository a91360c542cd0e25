"""What a request amounts to: arithmetic over neutral values, without I/O, clock or state."""
