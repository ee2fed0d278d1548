"""The embedded default: one process that mounts every plane."""
