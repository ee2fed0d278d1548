"""The kernel: contracts and clients that every plane shares. Imports nothing of ours above it."""
