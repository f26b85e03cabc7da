"""Logs without secrets, metrics in one table, and what is remembered of a request."""
