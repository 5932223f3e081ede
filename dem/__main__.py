"""`python -m dem`: the command line."""

from dem.cli import main

main(prog_name="dem")
