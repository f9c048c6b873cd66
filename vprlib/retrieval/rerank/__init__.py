"""Re-rankers: each ranks a database for queries as `nearest` does, with the section `Rerank` beside it."""
