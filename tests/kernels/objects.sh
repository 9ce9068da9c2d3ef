#!/usr/bin/env bash
# Builds the extension with the address and undefined-behaviour sanitizers in a temporary folder, and runs the tests of
# the C code that reads Python's objects, columns and text through it. Needs the packages of development.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r src csrc setup.py pyproject.toml README.md LICENSE "$work"
rm -f "$work"/src/rank_plugins/_native*
sanitize="-fsanitize=address,undefined"
(cd "$work" && CFLAGS="$sanitize -fno-sanitize-recover=all -fno-omit-frame-pointer -O1 -g" LDFLAGS="$sanitize" \
    RANK_PLUGINS_REQUIRE_NATIVE=1 python setup.py -q build_ext --inplace > build.log 2>&1 || { cat build.log; exit 1; })
export LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)"
export ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc PYTHONPATH="$work/src"
python -c 'import rank_plugins._columns as c; assert c.NATIVE and c.WALKS and c.__file__.startswith("'"$work"'"), c.__file__'
python -m pytest -q -p no:cacheprovider tests/evaluation/test_lookup.py tests/fusion/test_gathering.py \
    tests/runs/test_scan.py tests/runs/test_trec.py "$@"
