"""Makes the matcher: tunes MiniLM to what customers ask, and writes the file that is shipped."""
