"""Training: what makes a batch, how it reaches the device, the step, the loop and its log."""
