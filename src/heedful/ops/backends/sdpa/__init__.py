"""PyTorch's fused scaled_dot_product_attention."""
