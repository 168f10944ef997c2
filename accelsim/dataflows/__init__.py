"""Block diagrams: which units stream into each other, and what joins them."""
