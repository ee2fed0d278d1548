"""Reply makers: each turns a question and its packed chunks into a draft."""
