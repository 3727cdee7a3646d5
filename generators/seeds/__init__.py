"""From source files to seeds: readers, and curation that scores, segments and tags (spec G1)."""
