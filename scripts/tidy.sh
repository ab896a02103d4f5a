#!/usr/bin/env bash
# Checks the product's files with clang-tidy, by the list in .clang-tidy; half a minute on two cores:
#   scripts/tidy.sh [BUILD [FILE]...]
# BUILD is a build folder, configured for clang if it is not there, build-clang by default; of it
# nothing but the commit's number has to be made.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build-clang}
shift $(($# > 0))
[ -e "$build/compile_commands.json" ] || cmake --preset clang -B "$build" >/dev/null
cmake --build "$build" --target commit >/dev/null
files=("$@")
if [ $# -eq 0 ]; then
    mapfile -t files < <(git ls-files '*.c' | grep -E '^(base|traces|devices|vmm|recorder|replay|fork|debugger|cli)/')
fi
printf '%s\n' "${files[@]}" | xargs -P "$(nproc)" -n 8 clang-tidy --quiet -p "$build"
