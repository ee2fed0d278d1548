"""The one reader of text: blocks, sentences, numbers, claims, wording."""
