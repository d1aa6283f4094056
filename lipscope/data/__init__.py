"""The data sets: CIFAR-10, CIFAR-100 and a seeded synthetic one, in memory as bytes."""

from lipscope.data.dataset import ImageSet, Split
from lipscope.data.load import DATASETS, load

__all__ = ["DATASETS", "ImageSet", "Split", "load"]
