#!/usr/bin/env bash
# Builds hindsight three times and runs its tests: gcc release with everything, clang for its
# warnings and with the unit tests, and the sanitizers, where contracts are asserted, with the unit
# tests, the fuzzers and the runs that read hostile input.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh

step()
{
    printf '\n== %s (%d s)\n' "$*" "$SECONDS"
}

step "gcc, release"
cmake --preset ci >/dev/null
cmake --build build
ctest --test-dir build --output-on-failure -j "$(nproc)" </dev/null

step "clang"
cmake --preset clang >/dev/null
cmake --build build-clang
ctest --test-dir build-clang --output-on-failure -j "$(nproc)" \
    -R '^unit\.|^run\.guests$' -E 'raid_(power|model)' </dev/null

step "clang-tidy"
scripts/tidy.sh

step "coverage of the debugger"
scripts/coverage.sh

step "sanitizers"
cmake --preset sanitize >/dev/null
cmake --build build-sanitize
ctest --test-dir build-sanitize --output-on-failure -j "$(nproc)" \
    -R '^(unit|fuzz)\.|^run\.(bad_input|damage|tools)$' </dev/null
step "all passed"
