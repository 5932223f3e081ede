"""`python -m dem`: the command line."""

from dem.cli.main import main

if __name__ == "__main__":
    main(prog_name="dem")
