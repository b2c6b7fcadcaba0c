// inotify on a directory: creation, writing, closing, renames with a cookie, removal, in order.
#include "../case.h"
#include <sys/inotify.h>
static const char *name_of(uint32_t m) {
    static char text[200];
    const char *names[] = {"ACCESS", "MODIFY", "ATTRIB", "CLOSE_WRITE", "CLOSE_NOWRITE", "OPEN", "MOVED_FROM", "MOVED_TO", "CREATE", "DELETE", "DELETE_SELF", "MOVE_SELF"};
    text[0] = 0;
    for (int i = 0; i < 12; i++)
        if (m & 1 << i)
            strcat(text, names[i]), strcat(text, " ");
    if (m & IN_ISDIR)
        strcat(text, "ISDIR ");
    if (m & IN_IGNORED)
        strcat(text, "IGNORED ");
    if (m & IN_Q_OVERFLOW)
        strcat(text, "OVERFLOW ");
    return text;
}
static void drain(int fd, const char *what) {
    char b[8192] __attribute__((aligned(8)));
    say("-- %s", what);
    uint32_t cookie = 0;
    for (ssize_t n; (n = read(fd, b, sizeof b)) > 0;)
        for (char *p = b; p < b + n;) {
            struct inotify_event *e = (void *)p;
            if (e->mask & IN_MOVED_FROM)
                cookie = e->cookie;
            say("%s%s%s", name_of(e->mask), e->len ? e->name : "", e->mask & IN_MOVED_TO ? e->cookie == cookie ? " same cookie" : " other cookie" : "");
            p += sizeof *e + e->len;
        }
}
int main(void) {
    scratch();
    MUST(mkdir("d", 0755));
    int i = TRY(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    int w = TRY(inotify_add_watch(i, "d", IN_ALL_EVENTS));
    char c;
    NUM(read(i, &c, 1));
    put("d/f", "text"), drain(i, "put");
    get("d/f"), drain(i, "get");
    chmod("d/f", 0600), drain(i, "chmod");
    truncate("d/f", 1), drain(i, "truncate");
    rename("d/f", "d/g"), drain(i, "rename inside");
    rename("d/g", "out"), drain(i, "rename out");
    rename("out", "d/in"), drain(i, "rename in");
    link("d/in", "d/hard"), drain(i, "link");
    symlink("x", "d/soft"), drain(i, "symlink");
    mkdir("d/sub", 0755), drain(i, "mkdir");
    put("d/sub/deep", ""), drain(i, "put below");
    unlink("d/sub/deep"), rmdir("d/sub"), drain(i, "rmdir");
    unlink("d/in"), unlink("d/hard"), unlink("d/soft"), drain(i, "unlink");
    utimensat(AT_FDCWD, "d", NULL, 0), drain(i, "touch the directory");
    NUM(inotify_rm_watch(i, w)), drain(i, "remove the watch");
    NUM(inotify_rm_watch(i, w));
    put("d/f", ""), drain(i, "unwatched");
}
