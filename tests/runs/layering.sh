#!/usr/bin/env bash
# The order of the layers, from the #include lines: a folder includes only itself and what stands
# below it, and devices/ no host header for time, files, sockets, threads or randomness.
set -euo pipefail
cd "${1:-$(dirname "$0")/../..}"

# Bottom first.
layers=(base traces devices vmm replay recorder fork debugger cli)
# All that a device model may take from outside: plain computation and memory.
device_headers=' assert.h inttypes.h limits.h stdalign.h stdbool.h stddef.h stdint.h stdlib.h string.h xxhash.h '

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

rank()
{
    for i in "${!layers[@]}"; do
        if [ "${layers[$i]}" = "$1" ]; then
            echo "$i"
            return
        fi
    done
    echo -1
}

checked=0
for layer in "${layers[@]}"; do
    [ -d "$layer" ] || continue
    own=$(rank "$layer")
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
                if [ "$(rank "$target")" -lt 0 ]; then
                    # A folder within the layer, seen from its own file.
                    [ -e "$(dirname "${where%%:*}")/$path" ] ||
                        complain "$where: $path: $target/ is no layer"
                elif [ "$(rank "$target")" -gt "$own" ]; then
                    complain "$where: $layer/ includes upward: $path"
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

# Host functions that <stdlib.h> would let in.
if [ -d devices ] && grep -nHE '\b(getenv|system|mkstemp|s?random|s?rand(_r)?|drand48|arc4random[a-z_]*)[[:space:]]*\(' \
    -r devices --include='*.[ch]'; then
    complain 'devices/ calls a host function'
fi

[ "$checked" -gt 0 ] || complain "no #include found under $PWD"
[ "$bad" -eq 0 ] && echo "layering: $checked includes follow the order"
exit "$bad"
