#!/usr/bin/env bash
# What is installed works from there, can be taken away again, and makes a Debian package.
source "$(dirname "$0")/common.bash"
prefix=$work/prefix
cmake --install "$BUILD" --prefix "$prefix" >"$work/out" 2>&1 || { cat "$work/out"; fail "cmake --install"; }
for file in bin/hindsight lib/hindsight/guests/guest-init lib/hindsight/guests/crash.elf \
    lib/hindsight/scripts/fetch-linux.sh lib/hindsight/scripts/initramfs.sh lib/hindsight/guests/initramfs/init share/man/man1/hindsight.1.gz share/bash-completion/completions/hindsight \
    share/zsh/vendor-completions/_hindsight share/fish/vendor_completions.d/hindsight.fish \
    share/doc/hindsight/README.md share/doc/hindsight/debugger.md include/hindsight/traces/trace.h; do
    [ -s "$prefix/$file" ] || fail "$file is not installed"
done
HINDSIGHT=$prefix/bin/hindsight
hindsight --version
grep -qE '^hindsight [0-9.]+( \([0-9a-f]+(-dirty)?\))?$' "$work/out" || fail "--version: $(cat "$work/out")"
hindsight record --engine soft --pace fast --serial null --kernel "$GUESTS/hello.elf" -o "$work/t.hst"
[ "$status" -eq 0 ] || fail "the installed program: status $status"
identical "$work/t.hst"

# The reader's library, by pkg-config and from its own headers alone.
if [ -z "${ASAN_OPTIONS:-}" ] && ! grep -q 'HINDSIGHT_SANITIZE:BOOL=ON' "$BUILD/CMakeCache.txt"; then
    pc=$(find "$prefix" -name hindsight-trace.pc)
    library=$(dirname "$(dirname "$pc")")
    # shellcheck disable=SC2046
    cc "$here/../../packaging/example/events.c" -Wall -Werror \
        $(PKG_CONFIG_PATH=$(dirname "$pc") pkg-config --define-variable=prefix="$prefix" \
            --define-variable=libdir="$library" --define-variable=includedir="$prefix/include" \
            --cflags --libs hindsight-trace) -o "$work/events" || fail "the example does not build"
    events=$("$work/events" "$work/t.hst" | awk '{ sum += $3 } END { print sum }')
    hindsight info --json "$work/t.hst"
    grep -q "\"last_event\": $events," "$work/out" || fail "the example counts $events events"
fi

# Completion knows the subcommands and each one's options.
complete_words()
{
    PATH=$prefix/bin:$PATH bash -c 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); compopt() { :; }
        _hindsight; printf "%s\n" "${COMPREPLY[@]}"' - "$prefix/share/bash-completion/completions/hindsight" "$@"
}
complete_words hindsight rec | grep -qx record || fail "no completion of record"
complete_words hindsight record --ker | grep -qx -- --kernel || fail "no completion of --kernel"
complete_words hindsight record --engine s | grep -qx soft || fail "no completion of soft"
complete_words hindsight hunt --un | grep -qx -- --until || fail "no completion of --until"

# All that was written goes again.
cmake --build "$BUILD" --target uninstall >"$work/out" 2>&1 || { cat "$work/out"; fail "uninstall"; }
[ -z "$(find "$prefix" -type f)" ] || fail "left over: $(find "$prefix" -type f | head -3)"
echo "installed, used, taken away"

# The package has it all, and names the libraries that it needs.
if command -v dpkg-shlibdeps >/dev/null; then
    (cd "$work" && cpack -G DEB --config "$BUILD/CPackConfig.cmake" -B "$work/deb" >"$work/out" 2>&1) ||
        { cat "$work/out"; fail "cpack"; }
    package=$(echo "$work"/deb/hindsight_*.deb)
    dpkg-deb -f "$package" Depends | grep -q 'libc6.*libcapstone4' || fail "the package does not name its libraries"
    if command -v lintian >/dev/null; then
        lintian --no-cfg --allow-root --fail-on error,warning "$package" >"$work/out" 2>&1 || { cat "$work/out"; fail "lintian"; }
    fi
    dpkg-deb -x "$package" "$work/root"
    HINDSIGHT=$work/root/usr/bin/hindsight
    identical "$work/t.hst"
    echo "a package: $(basename "$package"), $(stat -c %s "$package") bytes"
fi
