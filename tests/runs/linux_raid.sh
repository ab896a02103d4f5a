#!/usr/bin/env bash
# ext4 on a RAID 5 array under Debian's cloud kernel: a member fails while files are written and a
# spare takes its place; the files are there in the next boot, the file system is clean on the
# assembled volume, and both recordings replay after the images are gone.
source "$(dirname "$0")/common.bash"
source "$here/linux.bash"
export PATH=$PATH:/sbin:/usr/sbin
command -v mke2fs >/dev/null && command -v e2fsck >/dev/null || {
    echo "skipped: no mke2fs and e2fsck"
    exit 77
}
cd "$work"
megabytes=24
truncate -s ${megabytes}M fs
mke2fs -q -t ext4 fs
gzip -c fs >fs.gz

autorun fs.gz:/fs.gz <<'GUEST'
zcat /fs.gz >/dev/vda
mount -t ext4 /dev/vda /mnt || poweroff -f
for i in 1 2 3 4 5 6; do
    mkdir /mnt/dir$i
    cp /bin/busybox /mnt/dir$i/file
    echo "file $i" >/mnt/dir$i/name
    sync
done
rm /mnt/dir3/file
(cd /mnt && find . -type f ! -name sums | sort | xargs md5sum >sums)
umount /mnt
echo "files written"
sleep 1
poweroff -f
GUEST
"$HINDSIGHT" raid create --level 5 --size $((megabytes / 2 + 1))M a b c >out 2>err || fail "create"
truncate -s "$(stat -c %s a)" spare
hindsight record "${machine[@]}" --pace fast --append console=ttyS0 -o first.hst \
    --disk raid=5,file=a,file=b,file=c,spare=spare --fault disk0:member1:fail@t=1.75s
[ "$status" -eq 0 ] || fail "first boot: status $status"
grep -q 'files written' out || fail "first boot: no files written"
"$HINDSIGHT" dump --kind disk first.hst >dump 2>err || fail "dump"
grep -q 'member1 failed' dump || fail "no member failed"
grep -q 'member1 rebuilt' dump || fail "the spare was not rebuilt"
"$HINDSIGHT" raid scrub a spare c >out 2>err || fail "the members disagree after the rebuild"

autorun <<'GUEST'
mount -t ext4 /dev/vda /mnt && (cd /mnt && md5sum -c sums && echo "$(wc -l <sums) files are right")
umount /mnt
dd if=/dev/vda of=/dev/vdb bs=64k
poweroff -f
GUEST
truncate -s $((megabytes + 8))M volume
hindsight record "${machine[@]}" --pace fast --append console=ttyS0 -o second.hst \
    --disk raid=5,file=a,file=spare,file=c --disk file=volume
[ "$status" -eq 0 ] || fail "second boot: status $status"
grep -q '^11 files are right' out || fail "second boot: files are missing or wrong"
e2fsck -fn volume >out 2>&1 || fail "the file system on the assembled volume is not clean"

rm -f a b c spare volume
identical first.hst
identical second.hst
echo "files survive a failed member, a rebuild and a boot"
