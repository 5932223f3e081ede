"""What the commands do, one file for each kind; `dem.cli` only says how they are called."""
