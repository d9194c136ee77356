"""What an encoder can and cannot do, measured: memory by distance, gradients, time, cores and order."""
