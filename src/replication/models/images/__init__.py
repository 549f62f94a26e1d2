"""Networks of images: (B, C, H, W) float32."""
