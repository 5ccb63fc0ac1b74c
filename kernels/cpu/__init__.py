"""CPU twins of every pre- and post-processing step: the definition, and what the CPU runs."""
