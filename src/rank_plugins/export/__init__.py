"""Models into ONNX folders that need no torch to run, each checked against the original before it is kept."""

from rank_plugins.export.models import TASKS, export
from rank_plugins.export.parity import Report
from rank_plugins.export.quantize import QUANTIZE

__all__ = ["QUANTIZE", "TASKS", "Report", "export"]
