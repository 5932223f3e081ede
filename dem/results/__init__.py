"""Results for every row: lazy, in memory, or written whole or not at all."""
