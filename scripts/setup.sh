#!/usr/bin/env bash
# setup.sh [--build]: installs the Debian packages that building, testing and running hindsight
# needs; with --build without those that only the tests need. Root or sudo.
set -euo pipefail

packages=(
    build-essential cmake ninja-build pkg-config git
    libcapstone-dev liblz4-dev libzstd-dev libxxhash-dev nettle-dev libreadline-dev libdw-dev libelf-dev libiberty-dev libext2fs-dev libpython3-dev libcmocka-dev
    e2fsprogs python3
)
if [ "${1:-}" != --build ]; then
    packages+=(
        clang clang-format clang-tidy libclang-rt-14-dev
        gdb tmux xz-utils parallel slurmctld slurmd slurm-client munge rustc crash python3-drgn chromium qemu-system-x86
    )
fi

missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' ||
        missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi

run=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "setup: these packages are missing and there is neither root nor sudo: ${missing[*]}" >&2
        exit 1
    fi
    run=(sudo)
fi
echo "setup: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${run[@]}" apt-get update -qq
"${run[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
