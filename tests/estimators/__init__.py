"""Names here may repeat in other folders."""
