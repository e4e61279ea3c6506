"""What a running system keeps in memory: a state that grows with every event, and answers from it. No Ray in here."""
