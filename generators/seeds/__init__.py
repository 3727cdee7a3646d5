"""From source files to seeds: readers, and the curation that scores, segments and tags (spec G1)."""
