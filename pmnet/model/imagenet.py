"""The mean and the standard deviation of ImageNet's channels, by which images are normalised."""

from typing import Final

IMAGE_MEAN: Final = (0.485, 0.456, 0.406)
IMAGE_STD: Final = (0.229, 0.224, 0.225)
