"""Ingestion: reads documents of every source and keeps the index current with them."""
