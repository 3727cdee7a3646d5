"""From committed steps to the rows of a mixture's sources."""
