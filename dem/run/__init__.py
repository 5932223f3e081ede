"""Where source, scan, start, sweep and EM meet: fits, and results for every row."""
