// A raw clone: parent and child thread ids are written, CLONE_CHILD_CLEARTID clears and wakes.
#include "../case.h"
#include <linux/futex.h>
static int parent_tid, child_tid = -1;
static _Atomic int go;
static int work(void *arg) {
    while (!go)
        sched_yield();
    return 0;
}
int main(void) {
    char *stack = malloc(65536);
    int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
                CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
    int tid = MUST(clone(work, stack + 65536, flags, NULL, &parent_tid, NULL, &child_tid));
    IS(parent_tid == tid);
    while (child_tid == -1)
        sched_yield();
    IS(child_tid == tid);
    char path[64];
    sprintf(path, "/proc/self/task/%d", tid);
    NUM(access(path, F_OK));
    go = 1;
    while (child_tid)
        syscall(SYS_futex, &child_tid, FUTEX_WAIT, tid, NULL, NULL, 0);
    NUM(child_tid);
    for (int i = 0; i < 1000 && access(path, F_OK) == 0; i++)
        nap(1);
    NUM(access(path, F_OK));
    NUM(tgkill(getpid(), tid, 0));
    IS(syscall(SYS_set_tid_address, &child_tid) == gettid());
}
