// Which masks inotify_add_watch takes: what comes unasked may be asked for, unknown bits and none at all may not.
#include "../case.h"
#include <sys/inotify.h>
int main(void) {
    scratch();
    put("f", "");
    int fd = MUST(inotify_init1(IN_NONBLOCK));
    for (int bit = 0; bit < 32; bit++) {
        int wd = inotify_add_watch(fd, ".", 1u << bit);
        say("bit %d: %s", bit, wd < 0 ? errname(errno) : "taken");
    }
    NUM(inotify_add_watch(fd, "f", 0));
    NUM(inotify_add_watch(fd, "f", IN_MASK_ADD | IN_MASK_CREATE | IN_MODIFY));
    NUM(inotify_add_watch(-1, "f", IN_MASK_ADD | IN_MASK_CREATE | IN_MODIFY));
    NUM(inotify_add_watch(0, "f", IN_MASK_ADD | IN_MASK_CREATE | IN_MODIFY));
    NUM(inotify_add_watch(0, "nothing", IN_MODIFY));
    // Only what was asked for comes.
    int only = MUST(inotify_init1(IN_NONBLOCK));
    IS(inotify_add_watch(only, ".", IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED | IN_ONLYDIR) > 0);
    put("g", "text");
    char events[4096];
    NUM(read(only, events, sizeof events));
    rename("g", "h"), unlink("h");
    NUM(read(only, events, sizeof events));
}
