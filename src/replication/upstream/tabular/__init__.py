"""Upstreams of tables: (B, F) float32, category codes first."""
