"""Multivariate time series: long and wide tables, `.npy` files, and the `.ts` format of the UEA/UCR archive."""
