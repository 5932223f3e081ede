"""What the commands do, one file for each kind; `dem.cli.main` only says how they are called."""
