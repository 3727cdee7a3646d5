"""A manifest in the formats of others."""
