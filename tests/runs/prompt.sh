#!/usr/bin/env bash
# The debugger's prompt on a terminal: Ctrl-C drops the line that is being typed, colors come where the
# terminal has them and nobody refuses them, and nowhere else, and long output comes by pages.
source "$(dirname "$0")/common.bash"
command -v python3 >/dev/null || exit 77
cd "$work"
hindsight record --engine "$(first_engine)" --pace fast --kernel "$GUESTS/crash.elf" \
    --append 'ticks=60 hz=1000' -o t.hst
export HOME=$work
unset NO_COLOR

# at_prompt: a session on a terminal; what it showed goes to out.
at_prompt()
{
    PYTHONPATH=$here python3 "$here/type_at_debugger.py" "$HINDSIGHT" debug t.hst >out 2>err ||
        fail "at the prompt (TERM=${TERM:-}, NO_COLOR=${NO_COLOR:-})"
}
colored()
{
    grep -q $'\033\\[33m' out
}
TERM=xterm at_prompt
colored || fail "no colors on a terminal"
TERM=dumb at_prompt
! colored || fail "colors on a dumb terminal"
TERM=xterm NO_COLOR=1 at_prompt
! colored || fail "colors in spite of NO_COLOR"
TERM=xterm NO_COLOR= at_prompt
colored || fail "no colors with an empty NO_COLOR"
TERM=xterm hindsight debug t.hst --batch -ex 'break handle_pit' -ex continue -ex backtrace
grep -q handle_pit out || fail "no backtrace"
! grep -q $'\033' out || fail "escape sequences in a pipe"
PYTHONPATH=$here python3 "$here/type_at_pager.py" "$HINDSIGHT" debug t.hst >out 2>err || fail "by pages"
# Not in a script, nor in a pipe.
printf 'set height 3\nhelp\n' | timeout 60 "$HINDSIGHT" debug t.hst >out 2>err || fail "in a pipe"
! grep -q -- '--Type' out || fail "pages in a pipe"
echo "prompt: ok"
