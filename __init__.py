"""Fashion U Want: dress a person's photo in a garment's photo."""

__version__ = "0.1.0"
