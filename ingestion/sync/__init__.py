"""A document's way into the index: `pipeline.py` is the flow."""
