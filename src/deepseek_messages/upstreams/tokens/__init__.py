"""Servers that are given token ids instead of messages."""
