"""Makers of fitted weights: each writes a data file that the product loads."""
