#!/usr/bin/env bash
# Builds hindsight and runs its tests: a release build, then the sanitizer build.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh

cmake --preset ci >/dev/null
cmake --build build
ctest --test-dir build --output-on-failure -j "$(nproc)"

cmake --preset sanitize >/dev/null
cmake --build build-sanitize
ctest --test-dir build-sanitize --output-on-failure -j "$(nproc)" -R '^(unit|fuzz)\.'
