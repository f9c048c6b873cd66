"""Synthetic city: build its layout, render photos of it, and write them as datasets."""
