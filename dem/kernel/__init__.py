"""The native kernel: which kernel is used, and where its library is."""
