"""Layouts of datasets on disk: each module reads one layout into an image table."""
