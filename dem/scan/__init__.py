"""The first pass over the data: counts, moments, ranges and a uniform sample of the rows."""
