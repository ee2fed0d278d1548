"""Datasets of behaviour: rows built from what people approved, split, and linted."""
