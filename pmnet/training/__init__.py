"""Training: data and batches, the step, the loop with its log and checkpoints."""
