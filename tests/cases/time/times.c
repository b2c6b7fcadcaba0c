// times counts ticks of the process and of children that were waited for.
#include "../case.h"
#include <sys/times.h>
int main(void) {
    struct tms a;
    clock_t start = times(&a);
    IS(start != (clock_t)-1);
    struct timespec t;
    do
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    while (t.tv_nsec < 100000000);
    clock_t end = times(&a);
    IS(a.tms_utime + a.tms_stime >= 7 && a.tms_utime + a.tms_stime < 40);
    IS(end - start >= 7);
    NUM(a.tms_cutime);
    pid_t pid = MUST(fork());
    if (!pid) {
        do
            clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
        while (t.tv_nsec < 80000000);
        _exit(0);
    }
    reap("child", pid);
    times(&a);
    IS(a.tms_cutime + a.tms_cstime >= 6);
    NUM(sysconf(_SC_CLK_TCK));
    NUM(syscall(SYS_times, 8));
}
