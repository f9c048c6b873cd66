"""Datasets: declarations, layouts on disk, the image table, evaluation protocols, and checks of the photos."""
