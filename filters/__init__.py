"""Measures over batches of records: one score a row; the recipe's gates decide."""
