"""The long campaigns: python tests/store/campaign.py {kill,flip,power,crowd} [--times N] [--seed S].

`--times` is how many kills, flips, cuts or seconds; without it 200, 1,000, all and 60. A failure says what went wrong,
and the same seed does it again (kills and crowds as far as the clock allows). `RANK_PLUGINS_SCRATCH` names the folder
to work in; kill and crowd need a real disk to say much.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import tempfile
import time
from pathlib import Path

from crowd import crowd
from flip import flip
from kill import kill
from power import power

CAMPAIGNS = {"kill": (kill, 200), "flip": (flip, 1000), "power": (power, None), "crowd": (crowd, 60)}


def main() -> None:
    """Run one and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("campaign", choices=CAMPAIGNS)
    parser.add_argument("--times", type=int)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 30))
    chosen = parser.parse_args()
    work, times = CAMPAIGNS[chosen.campaign]
    print(f"{chosen.campaign}: seed {chosen.seed}", flush=True)
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix=f"{chosen.campaign}-", dir=os.environ.get("RANK_PLUGINS_SCRATCH")))
    figures = work(folder, chosen.times or times, chosen.seed)
    shutil.rmtree(folder)  # a failure keeps it
    print(json.dumps(figures | {"seconds": round(time.monotonic() - began)}))


if __name__ == "__main__":
    main()
