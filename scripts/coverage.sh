#!/usr/bin/env bash
# How many lines of debugger/ the tests execute that are about it: builds them with gcov, runs them,
# and fails below the floor. Where the Linux kernel with its debugging information cannot be had, the
# runs that need it are skipped, and the floor is lower.
set -euo pipefail
cd "$(dirname "$0")/.."
build=build-coverage
floor=84
scripts/fetch-linux.sh --debug >/dev/null 2>&1 || floor=74

cmake --preset coverage >/dev/null
cmake --build "$build" --target hindsight guests/all test_session test_session_names test_session_pieces \
    test_commands test_expression test_agent test_gdb_protocol test_gdbstub test_races test_query test_python \
    test_origin test_flow
tests/coverage.py "$build" --reset
ctest --test-dir "$build" --output-on-failure -j "$(nproc)" \
    -R '^unit\.test_(session|commands|expression|agent|gdb|races|query|python|origin|flow)|^run\.(debug_crash|debug_smp|gdb_session|prompt|races|query|linux_(languages|processes))$' \
    </dev/null
tests/coverage.py "$build" --floor "$floor"
