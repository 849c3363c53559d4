#!/bin/sh
# Makes a Debian package of what was built.
#
#   build.sh BUILT OUTPUT
#
# BUILT is the directory that cargo built into (target/release), OUTPUT the directory for
# the package. Prints the package's path.
#
# install.sh decides what lies where, here as in "make install" and in the Dockerfile; this
# adds what is Debian's, and needs nothing that Debian does not have (dpkg-deb, binutils).
set -eu

built=$1
output=$2
here=$(cd "$(dirname "$0")" && pwd)
version=$("$built/walsender" --version | sed 's/^walsender //')
architecture=$(dpkg --print-architecture)

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"
"$here/../install.sh" "$built" /usr "$tree"
share=$tree/usr/share
# dpkg has a list of its own
rm -r "$share/walship"
find "$share/man" -type f -exec gzip -9n {} +
mv "$share/zsh/site-functions" "$share/zsh/vendor-completions"
mv "$share/doc/walship/LICENSE" "$share/doc/walship/copyright"
mkdir -p "$tree/etc/walship" "$tree/DEBIAN"
install -m 644 "$here/example.conf" "$share/doc/walship/example.conf"
strip --strip-debug "$tree"/usr/bin/*

# the oldest libc that has every symbol that the programs ask for
libc=$(objdump -T "$tree"/usr/bin/* | grep -o 'GLIBC_[0-9][0-9.]*' | sort -uV | tail -n 1)
[ -n "$libc" ] || {
    echo "build: could not tell which libc the programs need" >&2
    exit 1
}
size=$(du -sk --exclude=DEBIAN "$tree" | cut -f1)
sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" -e "s/@SIZE@/$size/" \
    -e "s/@LIBC@/${libc#GLIBC_}/" "$here/control" >"$tree/DEBIAN/control"
for script in postinst prerm postrm; do
    install -m 755 "$here/$script" "$tree/DEBIAN/$script"
done
(cd "$tree" && find usr -type f -exec md5sum {} + >DEBIAN/md5sums)

package=$output/walship_${version}_$architecture.deb
mkdir -p "$output"
dpkg-deb --root-owner-group "-Z${WALSHIP_DEB_COMPRESSION:-xz}" --build "$tree" "$package" >/dev/null
echo "$package"
