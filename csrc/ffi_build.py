"""Builds rank_plugins._native: the header's declarations, every C file of this folder, one exported symbol."""

import os
import sys
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent
HEADER = (HERE / "rank_plugins.h").read_text(encoding="utf-8")
DECLARATIONS = HEADER.partition("/* cdef begin */")[2].partition("/* cdef end */")[0]
FLAGS = (
    ["/O2"]
    if sys.platform == "win32"
    else ["-std=c11", "-O3", "-ffp-contract=off", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-unused-parameter"]
)

ffibuilder = FFI()
ffibuilder.cdef(DECLARATIONS)
ffibuilder.set_source(
    "rank_plugins._native",
    '#include "rank_plugins.h"',
    # relative, as setuptools wants them; the build runs in the project's root
    sources=sorted(f"csrc/{path.name}" for path in HERE.glob("*.c")),
    include_dirs=["csrc"],
    depends=sorted(f"csrc/{path.name}" for path in HERE.glob("*.h")),
    extra_compile_args=FLAGS,
    # Without a compiler the package still installs and runs on NumPy; wheels must not be built that way.
    optional=not os.environ.get("RANK_PLUGINS_REQUIRE_NATIVE"),
)
