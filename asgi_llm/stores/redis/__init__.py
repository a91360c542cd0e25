"""Stores on a Redis, shared by all processes; the extra ``redis``."""
