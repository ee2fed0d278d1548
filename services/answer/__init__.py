"""The answer service: takes a question, searches the index, decides, replies, records."""
