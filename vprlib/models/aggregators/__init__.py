"""Aggregators: (B, C, H, W) local features -> (B, D) descriptors."""
