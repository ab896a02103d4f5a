#!/usr/bin/env bash
# Without the libraries that may be absent the program is built all the same, and says what it lacks.
# What does not depend on them is taken from the build at hand.
source "$(dirname "$0")/common.bash"
sources=$(cd "$here/../.." && pwd)
grep -q 'HINDSIGHT_SANITIZE:BOOL=ON' "$BUILD/CMakeCache.txt" && exit 77
cmake -S "$sources" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DHINDSIGHT_READLINE=OFF -DHINDSIGHT_DEMANGLER=OFF \
    -DHINDSIGHT_EXT4=OFF -DHINDSIGHT_PYTHON=OFF >"$work/out" 2>&1 || { cat "$work/out"; fail "it is not configured"; }
! grep -qE 'HINDSIGHT_(READLINE|DEMANGLER|EXT4|PYTHON)[ ="]' "$work/build/compile_commands.json" || fail "an option has no effect"
# Their own commands, since a target of the build would make all the layers first.
cmake --build "$work/build" --target commit >"$work/out" 2>&1 || { cat "$work/out"; fail "no commit"; }
python3 - "$work/build/compile_commands.json" "$sources" >"$work/commands" <<'PYTHON' || fail "no commands"
import json, os, re, sys
for entry in json.load(open(sys.argv[1])):
    if re.fullmatch(sys.argv[2] + r"/(cli/[a-z_]+|vmm/storage/ext4|debugger/demangle|debugger/python/[a-z_]+)\.c", entry["file"]):
        output = os.path.join(entry["directory"], re.search(r" -o (\S+)", entry["command"])[1])
        os.makedirs(os.path.dirname(output), exist_ok=True)
        print(f"cd {entry['directory']} && {entry['command']}", end="\0")
PYTHON
xargs -0 -P "$(nproc)" -n 1 sh -c <"$work/commands" >"$work/out" 2>&1 || { cat "$work/out"; fail "it does not build"; }
mapfile -t objects < <(find "$work/build" -name '*.c.o')
# What is no source but made by the build.
own=cli/CMakeFiles/hindsight.dir
while read -r object; do
    [ -e "$work/build/$own/$object" ] || objects+=("$BUILD/$own/$object")
done < <(cd "$BUILD/$own" && ls *.o)
libraries=()
for layer in debugger fork recorder replay vmm devices traces base; do
    libraries+=("$BUILD/libhindsight_$layer.a")
done
# shellcheck disable=SC2046
cc -o "$work/hindsight" "${objects[@]}" "${libraries[@]}" \
    $(pkg-config --libs liblz4 libxxhash libzstd nettle capstone libelf libdw) -lm -pthread || fail "it does not link"

HINDSIGHT=$work/hindsight
hindsight doctor
for library in libiberty readline libext2fs libpython3; do
    grep -q "^built without  *$library: " "$work/out" || fail "doctor does not miss $library"
done
mkdir "$work/root"
refused 125 'built without e2fsprogs' run --engine soft --kernel "$GUESTS/hello.elf" --root "$work/root" -- x
hindsight record --engine soft --kernel "$GUESTS/hello.elf" --pace fast --serial null -o "$work/t.hst"
[ "$status" -eq 0 ] || fail "recording: status $status"
printf 'when\nquit\n' >"$work/commands"
"$HINDSIGHT" debug "$work/t.hst" <"$work/commands" >"$work/out" 2>&1 || fail "debugging: status $?"
grep -q '^position 0\.0' "$work/out" || fail "debugging: $(cat "$work/out")"
"$HINDSIGHT" debug "$work/t.hst" --batch -ex 'python print(1)' >"$work/out" 2>&1 && fail "python does something"
grep -q 'built without libpython3: install libpython3-dev' "$work/out" || fail "python: $(cat "$work/out")"
HINDSIGHT=$BUILD/bin/hindsight
hindsight doctor
! grep -q '^built without' "$work/out" || fail "the build at hand lacks something"
echo "without readline, libiberty, libext2fs and libpython3"
