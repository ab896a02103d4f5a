#!/usr/bin/env bash
# A guest that measures its TSC for 100 ms against the PIT finds the model's frequency within thousands
# of events, sees no access take less than a port's time, and replays; time never goes back where an
# access passes a timer's deadline.
source "$(dirname "$0")/common.bash"

hindsight record --engine soft --kernel "$GUESTS/calibrate.elf" -o "$work/t.hst"
[ "$status" -eq 0 ] || fail "calibrate: status $status"
read -r khz reads least < <(sed -n 's/.*calibrate: \([0-9]*\) kHz, \([0-9]*\) reads, least \([0-9]*\) ticks.*/\1 \2 \3/p' "$work/out")
[ -n "${least:-}" ] || fail "calibrate: printed no result"
[ "$khz" -gt 1990000 ] && [ "$khz" -lt 2010000 ] || fail "calibrate: $khz kHz are not 2 GHz"
[ "$reads" -gt 1000 ] || fail "calibrate: 100 ms took only $reads reads"
[ "$least" -ge 2000 ] || fail "calibrate: an access took $least ticks, less than a microsecond"
identical "$work/t.hst"
events=$(replayed_events)
[ "$events" -le 200000 ] || fail "calibrate: $events events in 100 ms"
hindsight debug "$work/t.hst" --batch -ex 'seek 50%' -ex 'reverse-stepi 1000'
[ "$status" -eq 0 ] || fail "calibrate: stepping back, status $status"
echo "calibrate: $khz kHz, $reads reads, $events events"
