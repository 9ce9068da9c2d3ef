"""Nothing is sent, and nothing is fetched."""

from __future__ import annotations

import os

import pytest

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"  # read when haystack is imported
os.environ["HF_HUB_OFFLINE"] = "1"

pytest.importorskip("haystack", reason="the host package haystack-ai is not installed")
