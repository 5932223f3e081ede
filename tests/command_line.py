"""The command `dem` in this process, as tests run it."""

from click.testing import CliRunner

from dem.cli.main import main
from dem.models.criteria import CRITERIA

SCORE_CRITERIA = [name for name, criterion in CRITERIA.items() if criterion.output == "score"]
"""Criteria that `dem fit`, `dem score` and `dem report` give: they need the log-likelihood alone."""


def run(*words):
    """Run a command; standard error and output are kept apart."""
    return CliRunner().invoke(main, [str(word) for word in words])


def done(*words):
    """Run a command that must succeed; return its standard output."""
    result = run(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


def failed(*words, status=1):
    """Run a command that must fail without a traceback; return the last line of its standard error."""
    result = run(*words)
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.output
    return result.stderr.strip().splitlines()[-1]
