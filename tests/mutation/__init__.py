"""Mutation testing of the translation: ``make mutants`` (tests/README.md)."""
