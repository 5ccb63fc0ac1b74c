"""Pre- and post-processing steps: CPU twins (`cpu`) and the CUDA kernels they define."""
