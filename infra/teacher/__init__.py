"""The teacher: serving it, checking it, and keeping many replicas of it busy."""
