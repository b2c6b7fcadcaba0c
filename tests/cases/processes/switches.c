// Context switches are counted by kind, for threads, processes and children that were waited for.
#include "../case.h"
static void sleeps(void) {
    for (int i = 0; i < 10; i++)
        nap(2);
}
static void *work(void *arg) {
    struct rusage a, b;
    getrusage(RUSAGE_THREAD, &a);
    sleeps();
    getrusage(RUSAGE_THREAD, &b);
    IS(b.ru_nvcsw - a.ru_nvcsw >= 10 && b.ru_nvcsw - a.ru_nvcsw < 40);
    return NULL;
}
static void *spin(void *arg) {
    for (volatile long i = 0; i < 300000000; i++)
        ;
    return NULL;
}
static long told(const char *name) {
    char *at = strstr(get("/proc/self/status"), name);
    return at ? atol(at + strlen(name) + 1) : -1;
}
int main(void) {
    struct rusage a, b;
    long before = told("\nvoluntary_ctxt_switches");
    getrusage(RUSAGE_SELF, &a);
    pthread_t t;
    pthread_create(&t, NULL, work, NULL);
    pthread_join(t, NULL);
    getrusage(RUSAGE_SELF, &b);
    IS(b.ru_nvcsw - a.ru_nvcsw >= 10);
    sleeps();
    IS(told("\nvoluntary_ctxt_switches") - before >= 10);
    IS(told("nonvoluntary_ctxt_switches") >= 0);
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    pthread_t more[cpus * 2];
    for (int i = 0; i < cpus * 2; i++)
        pthread_create(&more[i], NULL, spin, NULL);
    for (int i = 0; i < cpus * 2; i++)
        pthread_join(more[i], NULL);
    getrusage(RUSAGE_SELF, &a);
    IS(a.ru_nivcsw > b.ru_nivcsw);
    getrusage(RUSAGE_CHILDREN, &a);
    fflush(stdout);
    pid_t child = MUST(fork());
    if (!child) {
        sleeps();
        _exit(0);
    }
    MUST(wait4(child, NULL, 0, &b));
    IS(b.ru_nvcsw >= 10);
    getrusage(RUSAGE_CHILDREN, &b);
    IS(b.ru_nvcsw - a.ru_nvcsw >= 10);
}
