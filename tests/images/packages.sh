# packages.sh ROOT PACKAGE…: makes a root of what this host has installed of the packages and of all that they depend on,
# without documentation and without what their maintainer scripts made.
set -eu
root=$1
shift
mkdir -p "$root"
todo=$*
seen=' '
while [ -n "$todo" ]; do
    # shellcheck disable=SC2086
    set -- $todo
    package=$1
    shift
    todo=$*
    case "$seen" in *" $package "*) continue ;; esac
    seen="$seen$package "
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$' || continue
    # Of alternatives all are tried.
    more=$(dpkg-query -W -f '${Depends},${Pre-Depends}' "$package" | tr ',|' '\n\n' | sed 's/^ *//; s/[ (:].*//')
    todo="$todo $(echo $more)"
    dpkg-query -L "$package" | grep -v -E '^/usr/share/(doc|man|info|lintian|locale|bug)/|^/\.$' >> "$root.all"
done
# A name may lead through a link to a directory (/lib to /usr/lib): each file by the one name that it really has.
for top in bin sbin lib lib64; do
    [ ! -L "/$top" ] || echo "/$top"
done > "$root.list"
sort -u "$root.all" | while IFS= read -r path; do
    [ -e "$path" ] || [ -L "$path" ] || continue
    folder=$(realpath "${path%/*}/")
    echo "${folder%/}/${path##*/}"
done | grep -v -x -E '/(bin|sbin|lib|lib64)' | sort -u >> "$root.list"
tar -C / --no-recursion --ignore-failed-read -cf - -T "$root.list" 2>/dev/null | tar -C "$root" -xf -
rm "$root.all" "$root.list"
mkdir -p "$root/etc" "$root/root" "$root/run" "$root/tmp" "$root/var/log"
chmod 1777 "$root/tmp"
