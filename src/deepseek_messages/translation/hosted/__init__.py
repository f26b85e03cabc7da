"""Answers that take several calls of the upstream, and the tools that this server runs in them."""
