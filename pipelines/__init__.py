"""Steps, the plan, the Ray runner and the recipes: the only package that knows all the others."""
