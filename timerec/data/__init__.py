"""Reading, cleaning, indexing and sharding of logs (Ray Data)."""
