"""Re-rankers: each ranks a database for queries as `search.nearest` does, with the section `Rerank` beside it."""
