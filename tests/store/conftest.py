"""The campaigns are modules of this folder, which the tests beside them and campaign.py import."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
