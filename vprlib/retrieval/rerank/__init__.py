"""Re-rankers, one file per method. Each ranks the database for queries as `exact_search.nearest` does.

The arguments are the queries, the database and k; the others are the options of the method.
"""
