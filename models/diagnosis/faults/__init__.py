"""Faults planted on purpose, for measuring the diagnosis: written before it, and apart from it."""
