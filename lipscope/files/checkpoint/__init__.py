"""The file format of a model: safetensors with metadata that say what it claims to be.

The tensors are float32, contiguous, unshared; what others wrote, in other types or in shards, is read too.
"""

from lipscope.files.checkpoint.header import (
    LARGEST_HEADER,
    SCHEMA,
    SUFFIX,
    Header,
    TensorInfo,
    opened_file,
    read_file_header,
)
from lipscope.files.checkpoint.shards import index_of
from lipscope.files.checkpoint.sources import changed, open_at, opened, read_header, sha256_of
from lipscope.files.checkpoint.writing import described_metadata, metadata_for, with_sorted_metadata
from lipscope.files.writing import atomic_path

__all__ = [
    "LARGEST_HEADER",
    "SCHEMA",
    "SUFFIX",
    "Header",
    "TensorInfo",
    "atomic_path",
    "changed",
    "described_metadata",
    "index_of",
    "metadata_for",
    "open_at",
    "opened",
    "opened_file",
    "read_file_header",
    "read_header",
    "sha256_of",
    "with_sorted_metadata",
]
