"""Eval suites, facts, and the client that asks."""
