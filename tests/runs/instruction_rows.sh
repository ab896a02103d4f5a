#!/usr/bin/env bash
# What an instruction is, its row in vmm/cpu/decode_table.c says: nobody asks whether its handler, or
# a form of it, is a certain function. The patterns are tried on planted lines first.
set -euo pipefail
cd "$(dirname "$0")/../.."

function='(op|fast|native)_[a-z0-9_]+'
member='(->|\.)(handler|fast|native)'
compares="[!=]=[[:space:]]*&?$function\b([^(]|\$)|\b$function[[:space:]]*[!=]="
compares+="|$member[[:space:]]*[!=]=|[!=]=[[:space:]]*[a-z_>.-]+$member\b"
compares+='|\bhandler[[:space:]]*[!=]=[[:space:]]*([^N[:space:]]|N[^U])|case[[:space:]].*\bop_'

caught()
{
    sed -E 's%/\*.*\*/%%' | grep -nE "$compares"
}

fail()
{
    printf 'instruction_rows: %s\n' "$1" >&2
    exit 1
}

while read -r line; do
    caught <<<"$line" >/dev/null || fail "not noticed: $line"
done <<'END'
bool moves = insn->handler == op_movs;
if (insn->handler != op_movs && insn->handler != op_stos)
if (op_int1 == handler)
if (handler == simd_handler(insn))
return insn.handler==op_syscall;
if (insn->row->handler != other->row->handler)
if (other == insn->row->fast)
if (insn->row->native != native_lea)
if (form == &fast_lea)
END
while read -r line; do
    ! caught <<<"$line" >/dev/null || fail "refused: $line"
done <<'END'
insn->handler = row->handler;
if (handler == NULL)
[0x8d] = {op_lea, M | MEM, NO_ACCESS, FORMS(lea)},
if (insn_has_trait(insn, TRAIT_PORT))
if (op->insn.flags == 0)
if (previous.sa_handler != SIG_DFL)
int x = y == op_count(block);
END

bad=0 files=0
while read -r file; do
    files=$((files + 1))
    if found=$(caught <"$file"); then
        printf '%s:%s\n' "$file" "$found" >&2
        bad=1
    fi
done < <(find vmm/cpu -name '*.[ch]')
[ "$files" -gt 50 ] || fail "only $files sources found under vmm/cpu"
[ "$bad" -eq 0 ] || fail 'an instruction is told by its function: give its row a trait (decode_table.h)'
echo "instruction_rows: $files files compare no functions of instructions"
