"""Step kernels of recurrent cells."""
