"""Which cell of the table a data set lies in, measured on frozen features, and what to do there."""
