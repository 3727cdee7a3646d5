"""The teacher: serving it, checking it, and asking many replicas of it without ever letting one wait."""
