"""The training loop beside the bare encoder and a loop in SPIN's style."""
