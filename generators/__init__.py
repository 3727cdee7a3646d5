"""Seed curation, and every way to turn a seed into records through a teacher."""
