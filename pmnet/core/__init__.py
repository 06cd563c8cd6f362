"""The ground floor: errors, files, params, stages as commands, devices, processes, checkpoints."""
