"""Makes the reader: a small model that reads a question and a piece of a page together."""
