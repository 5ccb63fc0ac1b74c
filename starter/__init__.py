"""How the starter weights are made: rendered figures, training, quality. Not part of the wheel."""
