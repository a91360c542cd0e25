"""Stores that are lost with their process: the default, and what tests are quick with."""
