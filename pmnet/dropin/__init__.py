"""Prototypes for other people's regressors: a memory from any poses, its exports, and an nn.Module."""
