#!/usr/bin/env bash
# What if: a run goes live from a position of its trace, with other input; the new trace replays alone
# and the old one is as it was.
source "$(dirname "$0")/common.bash"

for engine in $(engines); do
    printf 'first\nsecond\nq\n' >"$work/typed"
    "$HINDSIGHT" record --engine "$engine" --pace fast --kernel "$GUESTS/echo.elf" -o "$work/old.hst" \
        <"$work/typed" >"$work/out" 2>"$work/err" || fail "record echo on $engine"
    # Just before the first typed byte was delivered.
    typed=$("$HINDSIGHT" dump --kind console "$work/old.hst" | head -n 1 | cut -d ' ' -f 1)
    at=$((typed - 1))
    before=$(sha256sum <"$work/old.hst")
    printf 'another\nq\n' >"$work/typed"
    "$HINDSIGHT" fork "$work/old.hst" --at "$at" --pace fast -o "$work/new.hst" \
        <"$work/typed" >"$work/out" 2>"$work/err" || fail "fork on $engine"
    grep -q another "$work/out" || fail "the forked guest did not get the new input ($engine)"
    [ "$before" = "$(sha256sum <"$work/old.hst")" ] || fail "the old trace was changed ($engine)"
    mkdir -p "$work/alone"
    mv "$work/new.hst" "$work/alone/"
    (cd "$work/alone" && "$HINDSIGHT" replay new.hst) >"$work/out" 2>"$work/err" ||
        fail "replay of the fork ($engine)"
    grep -q '^identical' "$work/out" || fail "the fork's replay is not identical ($engine)"
    "$HINDSIGHT" replay --console "$work/alone/new.hst" | grep -q 'characters: first' &&
        fail "the forked guest got the old input ($engine)"
    grep -q "forked-at *$at" <("$HINDSIGHT" info "$work/alone/new.hst") || fail "info does not say so"
done

hindsight fork "$work/old.hst" --at 50% -o "$work/old.hst"
[ "$status" -eq 2 ] || fail "forking onto itself: status $status"
hindsight fork "$work/old.hst" --at end -o "$work/end.hst"
[ "$status" -eq 125 ] || fail "forking at the end: status $status"
hindsight fork "$work/old.hst" --at nowhere -o "$work/end.hst"
[ "$status" -eq 2 ] || fail "forking nowhere: status $status"
