"""`python -m dem`: the command line."""

from dem.cli.main import main

main(prog_name="dem")
