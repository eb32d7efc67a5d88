"""Training and data preparation, without web or database."""
