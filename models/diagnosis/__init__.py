"""Diagnosis: which layer failed, by evidence, and the smallest fix."""
