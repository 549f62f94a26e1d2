"""Upstreams of images: (B, C, H, W) uint8."""
