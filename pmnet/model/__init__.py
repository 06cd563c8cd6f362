"""PM-Net: encoder, classifier, regressor, losses, weights."""
