"""Who is scored as of t, and what is known of each pair of user and item."""
