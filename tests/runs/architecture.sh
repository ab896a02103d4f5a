#!/usr/bin/env bash
# docs/architecture.md and CONTRIBUTING.md name files and functions that exist.
set -euo pipefail
cd "$(dirname "$0")/../.."
bad=0
complain()
{
    printf 'architecture: %s\n' "$1" >&2
    bad=1
}

named=0
for document in docs/architecture.md CONTRIBUTING.md; do
    # Paths: in backquotes, with a folder; NAME stands for what is yet to be written.
    while read -r path; do
        named=$((named + 1))
        case $path in
        *NAME* | *'*'* | build/*) ;;
        *) [ -e "$path" ] || complain "$document names $path, which is not there" ;;
        esac
    done < <(grep -oE '`[a-z_]+(/[A-Za-z0-9_.*-]+)+/?`' "$document" | tr -d '`' | sort -u)
    while read -r path; do
        named=$((named + 1))
        [ -e "$path" ] || complain "$document names $path, which is not there"
    done < <(grep -oE '\b(docs/[a-z0-9_.-]+[a-z0-9]|scripts/[a-z-]+\.sh)\b' "$document" | sort -u)
    # Functions: in backquotes, with parentheses.
    while read -r function; do
        named=$((named + 1))
        case $function in
        command_*) pattern="COMMAND\\(${function#command_}\\)" ;;
        *) pattern="\\b$function\\(" ;;
        esac
        [ "$function" = ioctl ] || [ "$function" = create ] ||
            grep -qE "$pattern" -r base traces devices vmm recorder replay fork debugger cli \
                --include='*.[ch]' || complain "$document names $function(), which is not there"
    done < <(grep -oE '`[a-z_0-9]+\(\)' "$document" | tr -d '`()' | sort -u)
    # Types and constants.
    while read -r name; do
        named=$((named + 1))
        grep -qwF "$name" -r traces devices vmm replay --include='*.[ch]' ||
            complain "$document names $name, which is not there"
    done < <(grep -oE '`((struct|enum) [a-z_]+|[A-Z]+_[A-Z_]+)`' "$document" | tr -d '`' | sort -u)
done
[ "$named" -gt 100 ] || complain "only $named names were found in the documents"
[ "$bad" -eq 0 ] && echo "architecture: $named names exist"
exit "$bad"
