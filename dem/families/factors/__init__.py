"""Components of low rank: probabilistic PCA and factor analysers."""
