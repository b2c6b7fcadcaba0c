// Watches on files: self events, attributes by unlink, mask changes, one shot, errors, merging, poll.
#include "../case.h"
#include <sys/inotify.h>
static void drain(int fd) {
    char b[8192] __attribute__((aligned(8)));
    for (ssize_t n; (n = read(fd, b, sizeof b)) > 0;)
        for (char *p = b; p < b + n;) {
            struct inotify_event *e = (void *)p;
            say("  %#x", e->mask);
            p += sizeof *e + e->len;
        }
}
int main(void) {
    scratch();
    put("f", "x");
    int i = MUST(inotify_init1(IN_NONBLOCK)), w = MUST(inotify_add_watch(i, "f", IN_MODIFY | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF));
    int fd = MUST(open("f", O_WRONLY));
    write(fd, "a", 1), write(fd, "b", 1), write(fd, "c", 1);
    int n = -1;
    NUM(ioctl(i, FIONREAD, &n)), NUM(n);
    struct pollfd p = {i, POLLIN};
    NUM(poll(&p, 1, 0));
    drain(i);
    say("rename"), rename("f", "g"), drain(i);
    say("unlink while open"), unlink("g"), drain(i);
    say("close"), close(fd), drain(i);
    put("h", "");
    int a = MUST(inotify_add_watch(i, "h", IN_MODIFY)), b = MUST(inotify_add_watch(i, "h", IN_ATTRIB));
    IS(a == b && a != w);
    say("changed mask"), put("h", "x"), chmod("h", 0600), drain(i);
    b = MUST(inotify_add_watch(i, "h", IN_MODIFY | IN_MASK_ADD));
    say("added mask"), truncate("h", 5), chmod("h", 0644), drain(i);
    NUM(inotify_add_watch(i, "h", IN_MODIFY | IN_MASK_CREATE));
    put("o", "");
    MUST(inotify_add_watch(i, "o", IN_ATTRIB | IN_ONESHOT));
    say("one shot"), chmod("o", 0600), chmod("o", 0644), drain(i);
    NUM(inotify_add_watch(i, "missing", IN_MODIFY)), NUM(inotify_add_watch(i, "h", 0)), NUM(inotify_add_watch(i, "h", IN_MODIFY | IN_ONLYDIR)), NUM(inotify_add_watch(0, "h", IN_MODIFY)), NUM(inotify_init1(9));
    symlink("h", "l");
    b = MUST(inotify_add_watch(i, "l", IN_ATTRIB | IN_DONT_FOLLOW));
    IS(a != b);
    say("a small buffer"), chmod("h", 0600);
    char small[8];
    NUM(read(i, small, 8));
    drain(i);
}
