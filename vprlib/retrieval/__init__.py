"""Retrieval: extraction of descriptors, search, re-ranking and compression."""
