#!/usr/bin/env bash
# Each rule of layering.sh fails where something breaks it: a small tree that follows the rules, and
# one that breaks them in one place at a time.
set -euo pipefail
check=$(cd "$(dirname "$0")" && pwd)/layering.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail()
{
    printf 'layering_planted: %s\n' "$1" >&2
    exit 1
}

# A tree with one header in each place.
tree()
{
    local place
    rm -rf "$work/tree"
    for place in base traces devices vmm/arch vmm/cpu vmm/kvm vmm/host/net vmm/boot vmm/storage \
        vmm/machine recorder replay fork debugger cli; do
        mkdir -p "$work/tree/$place"
        printf '#include <stdint.h>\n' >"$work/tree/$place/one.h"
    done
    for place in arch cpu kvm host boot storage machine; do
        printf 'What it is.\n' >"$work/tree/vmm/$place/README.md"
    done
}

files=() messages=() fine=()

# planted FOLDER LINE MESSAGE: a new file with that line is complained about in those words.
planted()
{
    local file=$1/planted${#files[@]}.c
    mkdir -p "$work/tree/$1"
    printf '%s\n' "$2" >"$work/tree/$file"
    files+=("$file")
    messages+=("$3")
}

# allowed FOLDER LINE [NAME]: it is not.
allowed()
{
    local file=$1/${3:-fine${#fine[@]}.c}
    mkdir -p "$work/tree/$1"
    printf '%s\n' "$2" >>"$work/tree/$file"
    fine+=("$file")
}

tree
bash "$check" "$work/tree" >/dev/null || fail 'a tree that follows the rules is refused'

# may FOLDER UNDER...: FOLDER may include those and no others.
folders=(base traces devices vmm recorder replay fork debugger cli)
may()
{
    local from=$1 folder header place=$1
    [ "$from" != vmm ] || place=vmm/machine
    for folder in "${folders[@]}"; do
        header=$folder/one.h
        [ "$folder" != vmm ] || header=vmm/arch/one.h
        if [[ " $* " == *" $folder "* ]]; then
            allowed "$place" "#include \"$header\""
        else
            planted "$place" "#include \"$header\"" "$from/ may not include $header"
        fi
    done
}
may base
may traces base
may devices base traces
may vmm base traces devices
may recorder base traces devices vmm
may replay base traces devices vmm
may fork base traces devices vmm recorder replay
may debugger base traces devices vmm replay
may cli base traces devices vmm recorder replay fork debugger

rooms=(arch cpu kvm host boot storage machine)
room_may()
{
    local from=$1 room
    for room in "${rooms[@]}"; do
        if [[ " $* " == *" $room "* ]]; then
            allowed "vmm/$from/deep" "#include \"vmm/$room/one.h\""
        else
            planted "vmm/$from/deep" "#include \"vmm/$room/one.h\"" \
                "vmm/$from/ may not include vmm/$room/one.h"
        fi
    done
}
room_may arch
room_may cpu arch
room_may kvm arch cpu
room_may host
room_may boot arch
room_may storage arch host
room_may machine arch cpu kvm host boot storage

planted vmm 'int two;' 'in no room of vmm/'
planted vmm/attic 'int two;' 'in no room of vmm/'
planted devices '#include <time.h>' 'includes the host header <time.h>'
planted devices 'int two(void) { return rand(); }' 'rand()'
planted base '#include "../traces/one.h"' 'name the folder from the top'
planted base '#include "attic/one.h"' 'attic/ is no layer'
planted base '#include "attic.h"' 'attic.h is not in base/'
planted base '#include ATTIC' 'include of a macro'
for place in base traces vmm/kvm vmm/machine recorder replay fork debugger; do
    planted "$place" 'const char *two(void) { return getenv("TWO"); }' 'reads the environment'
    planted "$place" 'void *two(void) { return soft_create(0, 0, 0); }' 'makes an engine'
done
allowed vmm/machine 'const char *two(void) { return getenv("TWO"); }' engines.c
allowed vmm/machine 'void *three(void) { return kvm_create(0, 0); }' engines.c
allowed cli 'const char *two(void) { return getenv("TWO"); }'

if bash "$check" "$work/tree" >"$work/out" 2>&1; then
    fail 'a tree that breaks every rule passes'
fi
for i in "${!files[@]}"; do
    grep -F -- "${files[$i]}" "$work/out" | grep -qF -- "${messages[$i]}" ||
        fail "no '${messages[$i]}' about ${files[$i]}: $(cat "$work/tree/${files[$i]}")"
done
for file in "${fine[@]}"; do
    ! grep -qE "^$file:" "$work/out" || fail "$(grep -E "^$file:" "$work/out")"
done

# One violation alone is enough to fail, of whatever kind.
for kind in '#include "traces/one.h"' '#include ATTIC' 'char *two = getenv("TWO");' \
    'void *two = soft_create(0, 0, 0);'; do
    tree
    printf '%s\n' "$kind" >"$work/tree/base/two.c"
    if bash "$check" "$work/tree" >"$work/out" 2>&1; then
        fail "'$kind' alone passes"
    fi
done
for room in "${rooms[@]}"; do
    tree
    rm "$work/tree/vmm/$room/README.md"
    if bash "$check" "$work/tree" >"$work/out" 2>&1; then
        fail "vmm/$room without a README passes"
    fi
done
echo "layering_planted: ${#files[@]} violations were caught"
