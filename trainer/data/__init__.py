"""From a manifest to batches: the samples of a phase by position, in NumPy."""
