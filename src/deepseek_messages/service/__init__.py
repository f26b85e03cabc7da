"""Use cases: answer a message, count tokens, list models, run tools. Knows callers, no HTTP."""
