"""lipscope trains, inspects and certifies 1-Lipschitz image classifiers."""

from lipscope.version import __version__

__all__ = ["__version__"]
