"""Knowledge, read, and behaviour: a question becomes a reply."""
