"""A shop with users of its own, and language models for them under /llm."""
