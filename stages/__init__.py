"""One script a stage of dvc.yaml: load, one call, save."""
