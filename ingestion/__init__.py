"""Knowledge, written: documents become an index that is current."""
