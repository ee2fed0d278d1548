"""The gate: may a release answer customers? Asked of rows that no training ever saw.

The candidate is asked beside the base with the `full` prompt, and beside the release that is live.
What it must reach by itself are floors; what it must not lose against them are paired differences;
what it must never do is state facts without documents (`closed_book`), or old facts once a document
was changed (`changed_facts`).
"""
