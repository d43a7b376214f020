"""What measures the descents and decides between them."""
