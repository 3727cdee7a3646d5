"""Running code that a model wrote: no network, nothing writable but its own tmp, every limit set."""
