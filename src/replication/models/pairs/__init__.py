"""Networks of image-text pairs, and their weights."""
