"""Releases on a model server: how vLLM starts with them, and how they get into a running one."""
