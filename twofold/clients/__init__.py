"""Clients of what Twofold stands on: index engines, embedders, model servers."""
