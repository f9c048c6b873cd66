"""Visual place recognition research: the library behind the workflow's stages."""

__version__ = "0.1.0"
