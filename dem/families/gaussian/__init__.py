"""Gaussian components: full, tied, diagonal and spherical covariances, with and without missing values."""
