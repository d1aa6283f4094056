"""Every file format of lipscope, one file each; no torch."""
