"""Used by all other packages: blocks of rows, additive statistics, linear algebra, readable numbers."""
