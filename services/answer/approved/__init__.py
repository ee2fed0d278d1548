"""Approved answers: what people pinned to a question, and whether it may be said."""
