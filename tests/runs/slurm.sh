#!/usr/bin/env bash
# docs/ci.md's job for a Slurm array: where Slurm and the right to start it are there, by a cluster of
# this machine alone, controller, node and munge started here; else as Slurm runs it, by its
# environment.
source "$(dirname "$0")/common.bash"
cd "$work"
chmod 755 "$work"
mkdir bin
ln -s "$(realpath "$HINDSIGHT")" bin/hindsight
export PATH=$work/bin:$PATH:/usr/sbin:/sbin
cp "$GUESTS/crash.elf" .
sed -n '/^```slurm$/,/^```$/{/^```/d;p}' "$here/../../docs/ci.md" >job.sh
tasks=$(sed -n 's/^#SBATCH --array=1-\([0-9]*\)$/\1/p' job.sh)
[ "${tasks:-0}" -gt 1 ] || fail "docs/ci.md has no array"
merge=$(sed -n '/^```slurm$/,$p' "$here/../../docs/ci.md" | sed -n '0,/^    hindsight hunt --merge/s/^    \(hindsight hunt --merge .*\)/\1/p')
[ -n "$merge" ] || fail "docs/ci.md does not add the parts up"

# start NAME COMMAND...: a daemon of the cluster, which ends with the test.
start()
{
    local name=$1
    shift
    "$@" >"$name.out" 2>&1 </dev/null &
    children+=($!)
}

# free_port: one that nobody listens to now.
free_port()
{
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

configure()
{
    local host
    host=$(hostname -s)
    mkdir state spool
    cat >slurm.conf <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket=$work/munge.sock
SlurmUser=root
SlurmctldPort=$(free_port)
SlurmdPort=$(free_port)
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
    export SLURM_CONF=$work/slurm.conf
}

is_idle()
{
    [ "$(sinfo -h -o %T 2>/dev/null)" = idle ]
}

run_by_slurm()
{
    head -c 1024 /dev/urandom >munge.key
    chmod 400 munge.key
    configure
    start munged munged --foreground --force --key-file="$work/munge.key" --socket="$work/munge.sock" \
        --pid-file="$work/munge.pid" --log-file="$work/munge.log" --seed-file="$work/munge.seed"
    wait_for [ -S munge.sock ]
    start slurmctld slurmctld -D -c
    start slurmd slurmd -D -c
    wait_for is_idle
    local result=0 daemon
    timeout 300 sbatch --wait job.sh >out 2>err || result=$?
    [ "$result" -eq 1 ] || { cat slurmctld.log slurmd.log; fail "sbatch: status $result"; }
    for daemon in 2 1 0; do
        kill "${children[daemon]}"
        wait "${children[daemon]}" || true
    done
    children=()
    echo "$tasks tasks by Slurm $(sinfo --version | cut -d ' ' -f 2)"
}

run_by_environment()
{
    local task result=0
    for task in $(seq "$tasks"); do
        SLURM_ARRAY_TASK_ID=$task SLURM_ARRAY_TASK_COUNT=$tasks bash job.sh >"hunt-$task.log" 2>err || result=$?
        [ "$result" -le 1 ] || fail "task $task: status $result"
    done
    [ "$result" -eq 1 ] || fail "nothing was found"
    echo "$tasks tasks as Slurm runs them: $1"
}

lacks=
for program in munged slurmctld slurmd sbatch sinfo; do
    command -v $program >/dev/null || lacks="$program is not installed"
done
[ "$(id -u)" -eq 0 ] || lacks="not root, as which Slurm is started"
if [ -z "$lacks" ]; then
    run_by_slurm
else
    run_by_environment "$lacks"
fi
for task in $(seq "$tasks"); do
    grep -q '^[0-9]* runs, ' "hunt-$task.log" || fail "task $task has no summary"
done

# The parts add up to the whole, by the command that stands there.
status=0
bash -c "$merge" >out 2>err || status=$?
[ "$status" -eq 1 ] || fail "$merge: status $status"
cp out merged
runs=$(sed -n 's/.*--runs \([0-9]*\).*/\1/p' job.sh)
grep -q "^$runs runs, [1-9][0-9]* found: " merged || fail "not all $runs runs are there"
hindsight hunt --engine soft --kernel crash.elf --append 'ticks=600 hz=10000' --runs "$runs" -o whole
[ "$status" -eq 1 ] && cmp <(sed -n 1,2p out) <(sed -n 1,2p merged) || fail "the parts are not the whole"
echo "its parts add up to the whole"
