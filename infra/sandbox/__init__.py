"""Running model-written code: no network, nothing writable but its own tmp, every limit set."""
