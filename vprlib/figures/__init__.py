"""Figures, drawn from tidy tables and arrays only."""
