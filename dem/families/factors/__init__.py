"""Components with a covariance of low rank plus noise: probabilistic PCA and factor analysers."""
