"""The three kinds of work a task does: read documents, generate with a teacher, screen."""
