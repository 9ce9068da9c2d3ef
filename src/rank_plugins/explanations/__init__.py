"""Explanations: which document token each query token matches, and what that brings to the score."""

from rank_plugins.explanations.explanation import Explanation
from rank_plugins.explanations.page import html

__all__ = ["Explanation", "html"]
