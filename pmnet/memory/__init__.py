"""The prototype memory: spaces, K-Means over a space, the prototypes."""
