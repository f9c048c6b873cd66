"""Checks of a dataset before it is used: photos, counts, duplicates, leaks between splits."""
