"""What a task does: read documents, generate with a teacher or take text as it is, screen, take."""
