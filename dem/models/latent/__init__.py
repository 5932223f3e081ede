"""Linear latent-variable models: PPCA, Bayesian PCA and factor analysis."""
