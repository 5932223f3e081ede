"""Mixtures of any family, by maximum likelihood, with priors, and variational."""
