"""From shares and budgets to whole numbers."""
