"""Declarations of the registered datasets: one or more `Dataset` constants per module."""
