// flock: shared and exclusive, per open file, conversion, non-blocking, across processes.
#include "../case.h"
#include <sys/file.h>
int main(void) {
    scratch();
    put("f", "");
    int a = MUST(open("f", O_RDONLY)), b = MUST(open("f", O_RDONLY));
    NUM(flock(a, LOCK_SH)), NUM(flock(b, LOCK_SH));
    NUM(flock(a, LOCK_EX | LOCK_NB));
    NUM(flock(b, LOCK_UN));
    NUM(flock(a, LOCK_EX | LOCK_NB));
    NUM(flock(b, LOCK_SH | LOCK_NB));
    NUM(flock(dup(a), LOCK_UN));
    NUM(flock(b, LOCK_EX | LOCK_NB));
    pid_t pid = MUST(fork());
    if (!pid) {
        int own = MUST(open("f", O_RDONLY));
        IS(flock(own, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK);
        IS(flock(b, LOCK_EX | LOCK_NB) == 0);
        close(a);
        _exit(flock(own, LOCK_EX) == 0 ? 3 : errno);
    }
    nap(50);
    wait_asleep(pid);
    NUM(flock(b, LOCK_UN));
    reap("waiter", pid);
    NUM(flock(b, 0)), NUM(flock(900, LOCK_EX)), NUM(flock(b, LOCK_EX | LOCK_SH));
}
