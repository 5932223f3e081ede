"""One pass over all blocks of a source, summed in a tree of fixed shape."""
