"""Models and checkpoints on disk. A write is either complete or has no effect."""
