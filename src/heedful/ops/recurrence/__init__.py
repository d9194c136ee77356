"""CPU kernels for single steps of recurrent cells."""
