"""Bring your own system: the same question asked of what a team has, through its endpoint or its
recorded outputs."""
