"""Training of the starter weights: data, losses, one module per network, one loop for all."""
