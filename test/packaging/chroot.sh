#!/bin/bash
# Runs a script in a chroot whose root is this machine's, copy on write: what it installs and changes is gone afterwards.
# The script's folder is /tmp/given there.                                     chroot.sh SCRIPT FOLDER [arguments]
set -eu
script=$1 folder=$2
shift 2
layers=$(mktemp -d)
mount -t tmpfs -o mode=0755 tmpfs "$layers"
mkdir "$layers"/{upper,work,root}
mount -t overlay overlay -o "lowerdir=/,upperdir=$layers/upper,workdir=$layers/work" "$layers/root"
mount -t proc proc "$layers/root/proc"
for each in sys dev; do mount --rbind "/$each" "$layers/root/$each"; done
mount -t tmpfs -o mode=0755 tmpfs "$layers/root/run"
mount -t tmpfs -o mode=1777 tmpfs "$layers/root/tmp"
mkdir -p "$layers/root/tmp/given"
mount --bind "$folder" "$layers/root/tmp/given"
cp "$script" "$layers/root/tmp/script"
exec chroot "$layers/root" /bin/bash /tmp/script "$@"
