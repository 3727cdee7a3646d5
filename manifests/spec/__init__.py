"""The mixture as a person writes it."""
