"""Paragraphs that are the same in the docstrings of several estimators.

A class that uses them has the decorator `documented`, and a line such as ``{random_state}`` in place of the paragraph.
Names that begin with ``latent_`` are for PPCA and factor analysis.
"""

from __future__ import annotations

import re
from textwrap import indent
from typing import TypeVar

C = TypeVar("C", bound=type)

PARAGRAPHS = {
    "mixture_tol": """
        tol : float, default=1e-3
            Stop when the mean log-likelihood rises by less, in nats a row.
        """,
    "max_iter": """
        max_iter : int, default=100
            The largest number of M-steps on the whole data. One more pass scores the result; with 0 it scores the
            start.
        """,
    "n_init": """
        n_init : int, default=10
            Number of starts on the sample; the best one continues on the whole data.
        """,
    "init_params": """
        init_params : {"k-means++", "kmeans", "random", "random_from_data"}, default="k-means++"
            How the first responsibilities on the sample are chosen: see `dem.GaussianMixture`.
        """,
    "prior": """
        prior : None, "weak" or dem.Prior, default=None
            None for maximum likelihood; else MAP with conjugate priors (see `dem.models.mixture.prior`).
        """,
    "random_state": """
        random_state : int, RandomState, Generator or None, default=None
            Seed of the sample and the starts. None means the seed 0, so that fits are reproducible.
        """,
    "warm_start": """
        warm_start : bool, default=False
            Start from the last fit's parameters.
        """,
    "verbose": """
        verbose : int, default=0
            With 1 or more, print a line for the first scan, the start, every `verbose_interval`-th pass and the last
            one, with an estimate of the time left of the fit once there is a basis for it; and some lines within
            passes and starts of more than 10 seconds. If `engine` has a `progress`, that shows the passes instead. The
            logger "dem" reports each pass at the level INFO.
        verbose_interval : int, default=1
        """,
    "sample_size": """
        sample_size : int, default=30000
            Rows in the sample (fewer if they would need more than 64 MiB).
        """,
    "scale": """
        scale : {"standard", "robust", "variable"} or None, default=None
            Scale the columns, from the first pass, before the model sees them. "standard": minus the mean, divided by
            the standard deviation. "robust": minus the median, divided by the interquartile range / 1.349, both of the
            sample (where the quartiles are equal, by the standard deviation). "variable": minus the mean, divided by
            one scale for each variable, the root of the mean variance of its columns; columns without names are one
            variable. Columns without spread are left as they are. Results are in the data's units, and so are
            parameters that you set. Only numbers that all columns share are in units of the scaled columns: a single
            variance, `reg_covar`, distances. A `warm_start` needs a last fit with `scale`, too.
        """,
    "missing": """
        missing : {"marginalize", "error"}, default="marginalize"
            How missing values are handled in fits and outputs: they are marginalised exactly, as values missing at
            random, or they are an error.
        """,
    "missing_value": """
        missing_value : number, optional
            Entries equal to this number are missing, in addition to NaN and masked entries. It replaces the CF
            attributes of a store: see `dem.open_source`. Ignored for open sources: pass it to `dem.open_source`.
        """,
    "engine": """
        engine : dem.Engine, optional
            Memory limit, scheduler and number of workers; by default this machine.
        """,
    "latent_random_state": """
        random_state : int, RandomState, Generator or None, default=None
            Seed of the sample and of EM's start. None means the seed 0, so that fits are reproducible.
        """,
    "latent_verbose": """
        verbose : int, default=0
            With 1 or more, print a line for the first scan, the start, every `verbose_interval`-th iteration and the
            last one.
        verbose_interval : int, default=1
        """,
    "latent_sample_size": """
        sample_size : int, default=30000
            Rows in the sample on which EM starts (fewer if they would need more than 64 MiB).
        """,
    "fit_ended": """
        converged_ : bool
        stop_reason_ : str
            "converged", "max_iter", or "fell": the log-likelihood (or the bound) fell by less than `tol`, which
            `reg_covar` can cause. Then the fit has stopped, but not at a maximum.
        n_iter_ : int
            M-steps on the whole data.
        n_passes_ : int
            Passes over the whole data, the first scan included.
        starts_ : list of dict
            What each start on the sample reached, and how often each optimum came: see
            `dem.estimators.records.start_records`.
        remaining_gain_ : float or None
            An estimate of what more iterations would gain, in nats a row (Aitken); None if there is no basis for it.
        """,
    "lower_bound_": """
        lower_bound_ : float
            Mean log-likelihood of the reported parameters, plus their log prior, in nats a row (in scikit-learn: of the
            parameters one step before).
        """,
    "fit_passes": """
        lower_bounds_ : list of float
            The same for each pass.
        history_ : list of dict
            For each pass "pass", "objective", "log_likelihood", "elbo_e" and "elbo_m", the bound after the E-step and
            after the M-step, and "kl", the divergence KL(q || p(z | x, new)) after the M-step. See
            `dem.estimators.records.history_records`.
        """,
    "latent_fit": """
        converged_ : bool
            True for a closed form.
        lower_bound_ : float
            Mean log-likelihood of the training data, in nats a row, without any prior. NaN if there is no density,
            because the data lie in a subspace that the components of PPCA span; the fit warns of this
            (`SubspaceWarning`).
        lower_bounds_ : list of float
            The same for each E-step of EM; a closed form has one value.
        n_iter_, n_passes_ : int
            Iterations (1 for a closed form), and passes over the data, the first scan included.
        history_ : list of dict
            One record for each iteration: see `dem.estimators.records.history_records`. Empty for a closed form.
        starts_ : list of dict
            If values are missing, what each start on the sample reached: see `dem.estimators.records.start_records`.
        remaining_gain_ : float or None
            An estimate of what more iterations would gain, in nats a row (Aitken); None if there is no basis for it.
        """,
    "scaled": """
        scale_, shift_ : array of shape (n_features,)
            With `scale`: the model is that of (x - shift_) / scale_.
        """,
    "training_data": """
        n_features_in_ : int
        feature_names_in_ : array of str
            If the data had column names.
        columns_ : dem.core.columns.Columns
            The columns: their names, variables, coordinates and units.
        source_ : dict
            Properties of the training data: see `dem.estimators.records.source_record`.
        run_ : dict
            How the last fit ran: "seconds", "where" ("this machine" or "a cluster"), and the version of "dem".
        """,
}
"""The paragraphs by name."""


def documented(cls: C) -> C:
    """Put the shared paragraphs into a class's docstring, in place of the lines that name them.

    Raises
    ------
    KeyError
        There is no paragraph of that name.
    """
    if cls.__doc__ is not None:  # python -OO removes docstrings
        cls.__doc__ = re.sub(r"^( *)\{(\w+)\}$", _paragraph, cls.__doc__, flags=re.MULTILINE)
    return cls


def _paragraph(line: re.Match[str]) -> str:
    """Return the paragraph that a line names, indented as the line is."""
    lines = [text.removeprefix(8 * " ") for text in PARAGRAPHS[line[2]].strip("\n").rstrip().splitlines()]
    return indent("\n".join(lines), line[1])
