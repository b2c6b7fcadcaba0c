// Affinity masks: what is set is what is read, and the task runs there.
#include "../case.h"
int main(void) {
    cpu_set_t all, one, got;
    IS(sched_getaffinity(0, sizeof all, &all) == 0);
    IS(CPU_COUNT(&all) >= 1);
    IS(CPU_COUNT(&all) == sysconf(_SC_NPROCESSORS_ONLN));
    int cpu = 0;
    while (!CPU_ISSET(cpu, &all))
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    NUM(sched_setaffinity(0, sizeof one, &one));
    NUM(sched_getaffinity(0, sizeof got, &got));
    IS(CPU_EQUAL(&one, &got));
    IS(sched_getcpu() == cpu);
    CPU_ZERO(&one);
    NUM(sched_setaffinity(0, sizeof one, &one));
    NUM(sched_getaffinity(0, 1, &got));
    NUM(sched_setaffinity(0x3fffffff, sizeof all, &all));
    NUM(sched_setaffinity(0, sizeof all, &all));
    unsigned a = 99, b = 99;
    NUM(syscall(SYS_getcpu, &a, &b, NULL));
    IS(a < 1024 && b < 64);
}
