"""Series of vectors of numbers: tables in long and wide form, `.npy`, and the `.ts` format of the UEA/UCR archive."""
