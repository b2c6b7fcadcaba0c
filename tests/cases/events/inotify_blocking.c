// A blocking read of inotify waits for another process's change.
#include "../case.h"
#include <sys/inotify.h>
int main(void) {
    scratch();
    int i = MUST(inotify_init());
    MUST(inotify_add_watch(i, ".", IN_CREATE));
    pid_t me = getpid(), pid = MUST(fork());
    if (!pid) {
        wait_asleep(me);
        put("made-by-the-child", "");
        _exit(0);
    }
    char b[4096] __attribute__((aligned(8)));
    IS(read(i, b, sizeof b) > 0);
    say("%s", ((struct inotify_event *)b)->name);
    reap("child", pid);
}
