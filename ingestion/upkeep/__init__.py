"""What keeps the index right: expected state, reconcile, rebuild, quarantine, status."""
