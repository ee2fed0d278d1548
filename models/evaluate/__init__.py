"""Evals: what fails, in which layer, and the smallest fix."""
