"""Several finished runs as one: from what they have predicted, or by the mean of their weights."""
