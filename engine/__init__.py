"""The runtime: specs, backends, pre/post-processing, the pipeline. Never imports torch."""
