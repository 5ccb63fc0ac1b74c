"""From checkpoints to files a lean runtime loads. The only part of the package that needs torch."""
