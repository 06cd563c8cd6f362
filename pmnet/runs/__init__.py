"""The graph, and experiments, several runs at a time."""
