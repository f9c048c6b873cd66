"""Backbones: (B, 3, H, W) normalised photos -> (B, C, h, w) local features."""
