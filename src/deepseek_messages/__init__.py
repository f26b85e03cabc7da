"""Serve the Anthropic Messages API on DeepSeek models, wherever they run."""

__version__ = "0.1.0"
