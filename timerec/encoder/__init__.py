"""Language models that read item texts, and the time-aware encoder of a user's history."""
