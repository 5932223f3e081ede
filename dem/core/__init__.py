"""What everything stands on: blocks, statistics that add, linear algebra, numbers as people read them."""
