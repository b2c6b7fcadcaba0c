// CPU time: a busy process is charged, a sleeping one is not; children count when they were waited for.
#include "../case.h"
static int64_t us(struct timeval t) { return t.tv_sec * 1000000LL + t.tv_usec; }
int main(void) {
    struct rusage a, b, c;
    NUM(getrusage(RUSAGE_SELF, &a));
    struct timespec t0, t1;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t0);
    do
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t1);
    while ((t1.tv_sec - t0.tv_sec) * 1000000000LL + t1.tv_nsec - t0.tv_nsec < 100000000);
    getrusage(RUSAGE_SELF, &b);
    int64_t spent = us(b.ru_utime) + us(b.ru_stime) - us(a.ru_utime) - us(a.ru_stime);
    IS(spent > 80000 && spent < 300000);
    IS(b.ru_maxrss > 100);
    nap(200);
    getrusage(RUSAGE_SELF, &c);
    IS(us(c.ru_utime) + us(c.ru_stime) - us(b.ru_utime) - us(b.ru_stime) < 60000);
    NUM(getrusage(RUSAGE_CHILDREN, &a));
    IS(us(a.ru_utime) == 0);
    pid_t pid = MUST(fork());
    if (!pid) {
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t0);
        IS(t0.tv_sec == 0 && t0.tv_nsec < 60000000);
        do
            clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t1);
        while (t1.tv_nsec + t1.tv_sec * 1000000000LL < 120000000);
        _exit(0);
    }
    int status;
    IS(wait4(pid, &status, 0, &b) == pid);
    IS(us(b.ru_utime) + us(b.ru_stime) > 80000);
    getrusage(RUSAGE_CHILDREN, &a);
    IS(us(a.ru_utime) + us(a.ru_stime) > 80000);
    NUM(getrusage(RUSAGE_THREAD, &a));
    NUM(getrusage(5, &a));
}
