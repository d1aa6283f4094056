"""Import of the state dicts that the paper's published code writes."""

from lipscope.models.published.conversion import convert
from lipscope.models.published.network import import_published, published_config
from lipscope.models.published.reading import load_published

__all__ = ["convert", "import_published", "load_published", "published_config"]
