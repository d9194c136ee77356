"""The few hot loops, compiled on first use, and what runs them."""
