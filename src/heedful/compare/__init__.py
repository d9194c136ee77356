"""Which model do these data need: several are trained on the same data with the same budget, and compared."""
