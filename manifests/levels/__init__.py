"""Verification of a manifest, level by level."""
