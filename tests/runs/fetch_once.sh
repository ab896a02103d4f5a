#!/usr/bin/env bash
# scripts/fetch-linux.sh, wanted by two at once: who had to wait fetches nothing. The lock is a made-up
# one, which is given when the other has fetched everything.
source "$(dirname "$0")/common.bash"
root=$(cd "$here/../.." && pwd)
cache=$work/cache
mkdir "$work/bin"
cat >"$work/bin/flock" <<SHELL
#!/bin/sh
mkdir -p "$cache/debug/headers" "$cache/kvm"
echo of-the-other >"$cache/version"
SHELL
printf '#!/bin/sh\necho "$0 $*" >>"%s"\nexit 1\n' "$work/called" >"$work/bin/apt-get"
for name in apt-cache dpkg-deb; do cp "$work/bin/apt-get" "$work/bin/$name"; done
chmod +x "$work"/bin/*
for option in '' --debug --kvm; do
    rm -rf "$cache"
    PATH=$work/bin:$PATH HINDSIGHT_CACHE=$cache "$root/scripts/fetch-linux.sh" $option >"$work/out" 2>"$work/err" ||
        fail "fetch-linux $option: status $?: $(cat "$work/err")"
    [ "$(cat "$work/out")" = "$cache" ] || fail "fetch-linux $option says another place"
    [ ! -e "$work/called" ] || fail "fetch-linux $option fetches again: $(cat "$work/called")"
    [ "$(cat "$cache/version")" = of-the-other ] || fail "fetch-linux $option replaces what is there"
done
