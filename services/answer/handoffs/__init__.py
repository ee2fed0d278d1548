"""Hand-overs to people: the outbox, its delivery, and what people replied."""
