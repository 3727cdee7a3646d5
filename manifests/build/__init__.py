"""From a mixture to a manifest."""
