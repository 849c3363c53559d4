#!/bin/sh
# Installs what was built: programs, manual pages, completions, units, documentation.
#
#   install.sh BUILT PREFIX [DESTDIR]
#
# BUILT is the directory that cargo built into (target/release), DESTDIR is put before every
# path while files are placed and is known to none of them. Units go to where systemd looks
# for those of packages when PREFIX is /usr, and for the administrator's otherwise.
# PREFIX/share/walship/installed lists every file, for uninstall.sh.
set -eu

[ $# -ge 2 ] || {
    echo "usage: install.sh BUILT PREFIX [DESTDIR]" >&2
    exit 2
}
built=$1
prefix=${2%/}
dest=${3:-}
root=$(cd "$(dirname "$0")/.." && pwd)

case $prefix in
/*) ;;
*)
    echo "install: PREFIX must be an absolute path, \"$prefix\" is not" >&2
    exit 1
    ;;
esac
bindir=$prefix/bin
libexec=$prefix/libexec/walship
share=$prefix/share
doc=$share/doc/walship
case $prefix in
/usr) units=/usr/lib/systemd/system ;;
*) units=/etc/systemd/system ;;
esac

for program in walsender walreceiver walctl walship-manual; do
    [ -x "$built/$program" ] || {
        echo "install: $built/$program is missing: run \"make build\" first" >&2
        exit 1
    }
done

# everything is made ready aside, so that the list is of what was placed, and nothing is half placed
# because a step failed
ready=$(mktemp -d)
trap 'rm -rf "$ready"' EXIT
umask 022

mkdir -p "$ready$bindir" "$ready$libexec" "$ready$units" "$ready$doc" "$ready$share/walship"
for program in walsender walreceiver walctl; do
    install -m 755 "$built/$program" "$ready$bindir/$program"
done
install -m 755 "$root/docs/scripts/nightly-backup.sh" "$ready$libexec/nightly-backup.sh"

# made from the programs' own command lines
"$built/walship-manual" "$ready$share"

for unit in "$root"/packaging/systemd/*; do
    sed -e "s|@BINDIR@|$bindir|g" -e "s|@LIBEXECDIR@|$libexec|g" "$unit" >"$ready$units/${unit##*/}"
done

install -m 644 "$root/README.md" "$root/LICENSE" "$root"/docs/*.md "$ready$doc/"
# what belongs to pages of it: dashboards, alert rules
for directory in "$root"/docs/*/; do
    name=$(basename "$directory")
    [ "$name" = scripts ] || cp -R "$directory" "$ready$doc/$name"
done

list=$share/walship/installed
files=$(cd "$ready" && find . -type f | sed 's|^\.||' | sort)
printf '%s\n' "$files" "$list" >"$ready$list"

while read -r file; do
    case $file in
    "$bindir"/* | "$libexec"/*) mode=755 ;;
    *) mode=644 ;;
    esac
    install -D -m "$mode" "$ready$file" "$dest$file"
done <"$ready$list"
