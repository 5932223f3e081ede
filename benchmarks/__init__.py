"""Ratios of speed and memory, each measured side by side in one run."""
