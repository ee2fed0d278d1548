"""The behaviour workshop: datasets, training, gated releases, and the evals of both layers."""
