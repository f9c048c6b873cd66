"""Losses of training tuples."""
