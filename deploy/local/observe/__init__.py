"""A compressed hour under real Prometheus, and then faults of every layer."""
