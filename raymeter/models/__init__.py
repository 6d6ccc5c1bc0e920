"""Architectures by name: MODELS, one file per family, and `module:function` for the user's own."""

from raymeter.models.build import MODELS, Architecture, build_model

__all__ = ["MODELS", "Architecture", "build_model"]
