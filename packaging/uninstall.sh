#!/bin/sh
# Removes what install.sh has placed, and no more: neither data nor what somebody changed in /etc/walship.
#
#   uninstall.sh PREFIX [DESTDIR]
set -eu

[ $# -ge 1 ] || {
    echo "usage: uninstall.sh PREFIX [DESTDIR]" >&2
    exit 2
}
prefix=${1%/}
dest=${2:-}
list=$dest$prefix/share/walship/installed

[ -e "$list" ] || {
    echo "uninstall: nothing is installed under $dest$prefix: $list does not exist" >&2
    exit 1
}
files=$(cat "$list")
echo "$files" | while read -r file; do
    rm -f "$dest$file"
done
# directories that are ours alone, and the shared ones where nobody else has anything
echo "$files" | while read -r file; do
    directory=${file%/*}
    while [ -n "$directory" ] && rmdir "$dest$directory" 2>/dev/null; do
        directory=${directory%/*}
    done
done
