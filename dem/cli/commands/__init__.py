"""The work of the commands, one file for each group of commands; `dem.cli.main` defines their options."""
