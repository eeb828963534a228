"""What may train a model: duplicates, filters, contamination, balance, and a record of everything that may not."""
