// Scheduling classes and priorities as unprivileged programs use them.
#include "../case.h"
int main(void) {
    NUM(sched_getscheduler(0));
    NUM(sched_get_priority_max(SCHED_FIFO));
    NUM(sched_get_priority_min(SCHED_RR));
    NUM(sched_get_priority_max(SCHED_OTHER));
    NUM(sched_get_priority_max(99));
    struct sched_param p = {.sched_priority = 0};
    NUM(sched_setscheduler(0, SCHED_BATCH, &p));
    NUM(sched_getscheduler(0));
    p.sched_priority = 5;
    NUM(sched_setscheduler(0, SCHED_OTHER, &p));
    p.sched_priority = 0;
    NUM(sched_setscheduler(0, SCHED_OTHER, &p));
    NUM(sched_getparam(0, &p));
    NUM(sched_getparam(-1, &p));
    NUM(setpriority(PRIO_PROCESS, 0, 11));
    NUM(getpriority(PRIO_PROCESS, 0));
    NUM(nice(4));
    NUM(setpriority(PRIO_PROCESS, 0, 100));
    NUM(getpriority(PRIO_PROCESS, 0));
    NUM(getpriority(9, 0));
    NUM(sched_yield());
    pid_t pid = MUST(fork());
    if (!pid)
        _exit(getpriority(PRIO_PROCESS, 0));
    reap("child", pid);
}
