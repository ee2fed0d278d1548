"""`/console`: where a support lead looks on Monday. Pages made here, without a script."""
