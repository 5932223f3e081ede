"""`python -m dem`: the command line."""

from dem.cli.run import run

if __name__ == "__main__":
    run()
