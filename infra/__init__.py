"""The outside world: the teacher and its serving, the sandbox, logging."""
