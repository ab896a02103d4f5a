#!/usr/bin/env bash
# The order of the layers and of the rooms in vmm/, from the #include lines: who may include what;
# devices/ no host header for time, files, sockets, threads or randomness; one file that chooses an
# engine and reads the environment. layering_planted.sh shows that each rule catches what breaks it.
set -euo pipefail
cd "${1:-$(dirname "$0")/../..}"

# Who may include whom, besides itself.
declare -A below=(
    [base]=''
    [traces]='base'
    [devices]='base traces'
    [vmm]='base traces devices'
    [recorder]='base traces devices vmm'
    [replay]='base traces devices vmm'
    [fork]='base traces devices vmm recorder replay'
    [debugger]='base traces devices vmm replay'
    [cli]='base traces devices vmm recorder replay fork debugger'
)
layers=(base traces devices vmm recorder replay fork debugger cli)
# The same for the rooms of vmm/.
declare -A rooms_below=(
    [arch]=''
    [cpu]='arch'
    [kvm]='arch cpu'
    [host]=''
    [boot]='arch'
    [storage]='arch host'
    [machine]='arch cpu kvm host boot storage'
)
rooms=(arch cpu kvm host boot storage machine)
# All that a device model may take from outside: plain computation and memory.
device_headers=' assert.h inttypes.h limits.h stdalign.h stdbool.h stddef.h stdint.h stdlib.h string.h xxhash.h '
# Chooses an engine and reads the environment for everything below cli/.
chooser=vmm/machine/engines.c
# They make engines for others: those that build on one another, and the trials of a host's KVM.
makers=" $chooser vmm/cpu/soft.c vmm/kvm/kvm.c vmm/kvm/paired.c vmm/kvm/trial.c "

bad=0
complain()
{
    printf '%s\n' "$1" >&2
    bad=1
}

# Prints FILE:LINE NAME for each include of every source of a folder; NAME keeps its <> or "".
includes()
{
    find "$1" -type f \( -name '*.[chS]' -o -name '*.inc' \) -print0 |
        xargs -0 -r grep -HnE '^[[:space:]]*#[[:space:]]*include' |
        sed -E 's/^([^:]+:[0-9]+):[[:space:]]*#[[:space:]]*include[[:space:]]*/\1 /'
}

# The room of a path under vmm/, or of vmm/ itself: "".
room_of()
{
    room=${1#vmm/}
    case $room in
    */*) room=${room%%/*} ;;
    *) room='' ;;
    esac
}

check_room()
{
    room_of "${1%%:*}"
    from=$room
    room_of "$2"
    if [ "$from" != "$room" ] && [[ " ${rooms_below[$from]-} " != *" $room "* ]]; then
        complain "$1: vmm/$from/ may not include $2"
    fi
}

checked=0
for layer in "${layers[@]}"; do
    [ -d "$layer" ] || continue
    while read -r where name; do
        checked=$((checked + 1))
        case $name in
        '"'*)
            path=${name#\"}
            path=${path%%\"*}
            target=${path%%/*}
            case $path in
            */../* | ../*) complain "$where: $path: name the folder from the top" ;;
            */*)
                if [ "$target" = "$layer" ]; then
                    [ "$layer" != vmm ] || check_room "$where" "$path"
                elif [ -z "${below[$target]+known}" ]; then
                    # A folder within the layer, seen from its own file.
                    [ -e "$(dirname "${where%%:*}")/$path" ] ||
                        complain "$where: $path: $target/ is no layer"
                elif [[ " ${below[$layer]} " != *" $target "* ]]; then
                    complain "$where: $layer/ may not include $path"
                fi
                ;;
            *)
                [ -e "$(dirname "${where%%:*}")/$path" ] || [ -e "$layer/$path" ] ||
                    complain "$where: $path is not in $layer/"
                ;;
            esac
            ;;
        '<'*)
            header=${name#<}
            header=${header%%>*}
            if [ "$layer" = devices ] && [[ $device_headers != *" $header "* ]]; then
                complain "$where: devices/ includes the host header <$header>"
            fi
            ;;
        *) complain "$where: include of a macro: $name" ;;
        esac
    done < <(includes "$layer")
done

# Every source of vmm/ is in a room, and every room says what it is.
while read -r file; do
    room_of "$file"
    [ -n "$room" ] && [ -n "${rooms_below[$room]+known}" ] ||
        complain "$file: in no room of vmm/ (${rooms[*]})"
done < <(find vmm -type f -name '*.[chS]' 2>/dev/null)
for room in "${rooms[@]}"; do
    [ ! -d "vmm/$room" ] || [ -s "vmm/$room/README.md" ] ||
        complain "vmm/$room/README.md: missing: what the room is, what it may use, what not"
done

# Host functions that <stdlib.h> would let in.
if [ -d devices ] && grep -nHE '\b(getenv|system|mkstemp|s?random|s?rand(_r)?|drand48|arc4random[a-z_]*)[[:space:]]*\(' \
    -r devices --include='*.[ch]'; then
    complain 'devices/ calls a host function'
fi

# Prints the sources under cli/ that match.
who_calls()
{
    for layer in base traces devices vmm recorder replay fork debugger; do
        [ ! -d "$layer" ] || grep -lE "$1" -r "$layer" --include='*.c' || true
    done
}

while read -r file; do
    [ "$file" = "$chooser" ] || complain "$file: reads the environment; only $chooser may"
done < <(who_calls '\b(secure_)?getenv[[:space:]]*\(')
while read -r file; do
    [[ $makers == *" $file "* ]] || complain "$file: makes an engine; that is for $chooser"
done < <(who_calls '\b(soft|kvm|paired)_create[[:space:]]*\(')

[ "$checked" -gt 0 ] || complain "no #include found under $PWD"
[ "$bad" -eq 0 ] && echo "layering: $checked includes follow the order"
exit "$bad"
