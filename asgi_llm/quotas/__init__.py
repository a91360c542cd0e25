"""Quotas at work: which accounts a request lies on, what is reserved there, and what is charged in the end."""
