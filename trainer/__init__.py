"""Training on a manifest, phase by phase, with Megatron-core."""
