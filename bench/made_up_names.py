"""Where the made-up networks of a run lie, told without importing torch."""

PLAIN = "plain"  # folder of the graphs as the papers' code has them, for plain ONNX Runtime
TORCH = "torch"  # folder of the state dicts, for the eager baseline
