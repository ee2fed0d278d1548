"""Factories of shipped assets and fitted weights; not part of the product."""
