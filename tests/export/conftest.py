"""The tests of this folder take the tiny models of the encoders' tests, and ask no hub."""

import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).parent.parent / "encoders"))
