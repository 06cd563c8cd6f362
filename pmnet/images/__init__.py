"""Pixels: the renderer, the file of images, augmentation on the device."""
