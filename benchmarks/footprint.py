"""What an installation weighs and what an import costs, measured in new environments.

    python benchmarks/footprint.py [--check] [--json]

--check fails where an environment pulls torch or exceeds its limit: 110 MB for the core alone, 240 MB for
core, extra onnx and the rerankers adapter. Import time is the median of 15 fresh processes, less the time
of an empty one; it is never checked.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SETS = {
    "core": ([str(ROOT)], 110),
    "core + onnx + rerankers adapter": ([f"{ROOT}[onnx]", str(ROOT / "adapters" / "rerankers")], 240),
}


def seconds(python: Path, code: str) -> float:
    """Return the median wall time of a fresh process that runs `code`."""
    times = []
    for _ in range(15):
        started = time.perf_counter()
        subprocess.run([python, "-c", code], check=True)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def measure(requirements: list[str]) -> dict[str, Any]:
    """Install into a new environment; return megabytes, packages and import seconds."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        code = "import sysconfig; print(sysconfig.get_path('purelib'))"
        site = Path(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip())
        before = size(site)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *requirements], check=True)
        packages = sorted(path.name.split("-")[0].lower() for path in site.glob("*.dist-info"))
        megabytes = (size(site) - before) / 1e6
        imported = seconds(python, "import rank_plugins") - seconds(python, "pass")
    return {"MB": megabytes, "import s": imported, "packages": packages}


def size(folder: Path) -> int:
    """Return the bytes of all files below `folder`."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="fail where torch is pulled or a limit exceeded")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    options = parser.parse_args()
    rows = {name: measure(requirements) | {"limit MB": limit} for name, (requirements, limit) in SETS.items()}
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        print("| install | MB | limit | packages | import rank_plugins |\n|---|--:|--:|--:|--:|")
        for name, row in rows.items():
            print(
                f"| {name} | {row['MB']:.0f} | {row['limit MB']} | {len(row['packages'])} | {row['import s']:.3f} s |"
            )
    failed = [name for name, row in rows.items() if row["MB"] > row["limit MB"] or "torch" in row["packages"]]
    if options.check and failed:
        print(f"over the limit, or with torch: {', '.join(failed)}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
