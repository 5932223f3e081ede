"""The native E-step: which kernel is used, and where its library is."""
