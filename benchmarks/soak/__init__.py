"""The soak: a seeded storm of faults against one client, and a ledger in which every request must add up."""
