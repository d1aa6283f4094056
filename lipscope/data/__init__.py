"""The data sets: CIFAR-10, CIFAR-100 and a seeded synthetic one, in memory as bytes."""

from lipscope.data.dataset import ImageSet, Split
from lipscope.data.load import DATASETS, classes_of, load

__all__ = ["DATASETS", "ImageSet", "Split", "classes_of", "load"]
