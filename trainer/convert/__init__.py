"""A checkpoint of Megatron's to a Hugging Face directory with the same logits, and the way back."""
