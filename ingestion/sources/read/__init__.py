"""What servers answered, read: each module here runs in the confined process only."""
