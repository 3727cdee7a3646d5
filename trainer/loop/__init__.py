"""The training loop: phases of a manifest on megatron-core, checkpoints that resume exactly."""
