"""What every room stands on: errors, files, params, stages as commands, devices, checkpoints."""
