"""Recipes: functions that return the steps of a run. Policy lives here, mechanism elsewhere."""
