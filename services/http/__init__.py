"""What every HTTP service of ours does the same: problems, bounds of requests, streams."""
