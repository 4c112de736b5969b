#!/bin/busybox sh
# The only process of the machine in which an older kernel is tested: runs the tests that the
# kernel's command line names, says how each ended, and switches the machine off.
busybox=/bin/busybox
$busybox mount -t proc proc /proc
$busybox mount -t sysfs sysfs /sys
$busybox mount -t devtmpfs devtmpfs /dev
$busybox ip link set lo up
echo "GUEST kernel $($busybox uname -r)"
export CI=1 RUST_BACKTRACE=0
for test in $(echo "$DA_GUEST_TESTS" | $busybox tr , ' '); do
    /programs/tests/kernel --include-ignored --exact --nocapture --test-threads 1 "$test"
    echo "GUEST test $test $?"
done
$busybox poweroff -f
