"""Whether to answer, ask back, hand over or decline."""
