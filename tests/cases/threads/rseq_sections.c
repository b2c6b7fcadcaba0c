// Critical sections of restartable sequences: per-CPU counters lose nothing, and preemption and signals abort.
#include "../case.h"
#include <sys/auxv.h>
#include <sys/rseq.h>
#include <sys/sysinfo.h>
#define CPUS_MAX 1024
static struct { volatile long value; long pad[15]; } counters[CPUS_MAX];
static struct rseq *area(void) { return (void *)((char *)__builtin_thread_pointer() + __rseq_offset); }
#define SECTION(abort_signature)                                                                                   \
    ".pushsection __rseq_cs, \"aw\"\n.balign 32\n3: .long 0, 0\n.quad 1f, 2f - 1f, 4f\n.popsection\n"                \
    ".pushsection __rseq_failure, \"ax\"\n.byte 0x0f, 0xb9, 0x3d\n.long " abort_signature "\n4: jmp %l[aborted]\n"   \
    ".popsection\nleaq 3b(%%rip), %%rax\nmovq %%rax, 8(%[area])\n1:\n"
// Adds one to the counter of the CPU it runs on, slowly. False: aborted before the end.
static bool add(struct rseq *r) {
    __asm__ goto(SECTION("0x53053053")
                 "movl 4(%[area]), %%ecx\nshlq $7, %%rcx\naddq %[base], %%rcx\nmovq (%%rcx), %%rdx\nmovl $60, %%esi\n"
                 "5: pause\ndecl %%esi\njnz 5b\nincq %%rdx\nmovq %%rdx, (%%rcx)\n2:\n"
                 :
                 : [area] "r"(r), [base] "r"(counters)
                 : "rax", "rcx", "rdx", "rsi", "memory", "cc"
                 : aborted);
    return true;
aborted:
    return false;
}
// Stays in a section until it is aborted.
static void stay(struct rseq *r, volatile int *there) {
    __asm__ goto(SECTION("0x53053053") "movl $1, (%[there])\n5: pause\njmp 5b\n2:\n"
                 :
                 : [area] "r"(r), [there] "r"(there)
                 : "rax", "memory", "cc"
                 : aborted);
aborted:
    return;
}
static void stay_badly(struct rseq *r) {
    __asm__ goto(SECTION("0x12345678") "5: pause\njmp 5b\n2:\n"
                 :
                 : [area] "r"(r)
                 : "rax", "memory", "cc"
                 : aborted);
aborted:
    return;
}
static void *count(void *arg) {
    for (long i = 0; i < 4000;)
        i += add(area());
    return NULL;
}
static _Atomic bool over;
static void *compete(void *arg) {
    while (!over)
        ;
    return NULL;
}
static void *preempted(void *arg) {
    int there = 0;
    for (int i = 0; i < 3; i++)
        stay(area(), &there);
    return NULL;
}
static volatile int there, handled;
static void handler(int sig) { handled++; }
static void *signalled(void *arg) {
    stay(area(), &there);
    return (void *)(long)handled;
}
int main(void) {
    IS(getauxval(AT_RSEQ_FEATURE_SIZE) >= 20);
    IS(getauxval(AT_RSEQ_ALIGN) >= 32);
    IS(__rseq_size > 0);
    IS(sched_getcpu() >= 0 && sched_getcpu() < get_nprocs_conf());
    int n = get_nprocs() + 2;
    pthread_t t[n], p;
    for (int i = 0; i < n; i++)
        pthread_create(&t[i], NULL, count, NULL);
    for (int i = 0; i < n; i++)
        pthread_join(t[i], NULL);
    long sum = 0, beyond = 0;
    for (int i = 0; i < CPUS_MAX; i++) {
        sum += counters[i].value;
        beyond += i >= get_nprocs_conf() && counters[i].value;
    }
    IS(sum == 4000L * n);
    NUM(beyond);
    pthread_t rival[n];
    for (int i = 0; i < n; i++) {
        pthread_create(&rival[i], NULL, compete, NULL);
        pthread_create(&t[i], NULL, preempted, NULL);
    }
    for (int i = 0; i < n; i++)
        pthread_join(t[i], NULL);
    over = true;
    for (int i = 0; i < n; i++)
        pthread_join(rival[i], NULL);
    say("all were preempted");
    on(SIGUSR1, handler);
    pthread_create(&p, NULL, signalled, NULL);
    while (!there || !area())
        sched_yield();
    pthread_kill(p, SIGUSR1);
    void *seen;
    pthread_join(p, &seen);
    say("aborted by a signal or before");
    IS(area()->rseq_cs == 0);
    fflush(stdout);
    pid_t child = MUST(fork());
    if (!child) {
        IS((int)area()->cpu_id >= 0 && area()->cpu_id == area()->cpu_id_start);
        IS(area()->cpu_id == (unsigned)sched_getcpu());
        NUM(syscall(SYS_rseq, area(), 32, 0, RSEQ_SIG + 1));
        on(SIGALRM, handler);
        struct itimerval soon = {.it_value = {.tv_usec = 20000}};
        setitimer(ITIMER_REAL, &soon, NULL);
        fflush(stdout);
        stay_badly(area());
        say("a wrong signature passed");
        _exit(1);
    }
    int status;
    MUST(waitpid(child, &status, 0));
    IS(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}
