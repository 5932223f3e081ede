"""Fits and results for every row: combines source, scan, start, sweep and EM."""
