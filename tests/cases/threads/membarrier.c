// membarrier orders what other threads do as a fence in them would; registrations are needed, inherited and lost.
#include "../case.h"
#include <linux/membarrier.h>
#define REGISTRATIONS (1 << 9)
static long call(int command, int flags, int cpu) { return syscall(SYS_membarrier, command, flags, cpu); }
struct shared { _Atomic int round, x, y, seen, done; } *s;
// Dekker: with a fence on one side only, the other side's by membarrier. Never do both read 0.
static void *quick(void *arg) {
    for (int round = 1;; round++) {
        int at;
        while ((at = atomic_load_explicit(&s->round, memory_order_relaxed)) < round)
            ;
        if (at == INT_MAX)
            return NULL;
        atomic_store_explicit(&s->x, 1, memory_order_relaxed);
        atomic_signal_fence(memory_order_seq_cst);
        atomic_store_explicit(&s->seen, atomic_load_explicit(&s->y, memory_order_relaxed), memory_order_relaxed);
        atomic_store_explicit(&s->done, round, memory_order_release);
    }
}
static int slow(int command, int flags, int cpu, int rounds) {
    int bad = 0;
    for (int round = s->done + 1, end = round + rounds; round < end; round++) {
        s->x = s->y = 0;
        s->round = round;
        for (volatile int wait = round % 50; wait; wait--)
            ;
        atomic_store_explicit(&s->y, 1, memory_order_relaxed);
        if (call(command, flags, cpu) != 0)
            return -1;
        int x = atomic_load_explicit(&s->x, memory_order_relaxed);
        while (atomic_load_explicit(&s->done, memory_order_acquire) < round)
            ;
        bad += !x && !s->seen;
    }
    return bad;
}
int main(int argc, char **argv) {
    if (argc > 1) {
        NUM(call(REGISTRATIONS, 0, 0)), NUM(call(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
        return 0;
    }
    long known = call(MEMBARRIER_CMD_QUERY, 0, 0);
    IS(known > 0 && (known & 0x3ff) == 0x3ff);
    s = MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    NUM(call(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0)), NUM(call(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0));
    NUM(call(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0, 0)), NUM(call(REGISTRATIONS, 0, 0));
    NUM(call(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0));
    NUM(call(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0)), NUM(call(REGISTRATIONS, 0, 0));
    NUM(call(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0));
    NUM(call(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0));
    NUM(call(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0)), NUM(call(REGISTRATIONS, 0, 0));
    NUM(call(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 1, 0)), NUM(call(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 2, 0));
    NUM(call(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 1, 100000)), NUM(call(3, 0, 0)), NUM(call(-1, 0, 0));
    pthread_t t;
    pthread_create(&t, NULL, quick, NULL);
    NUM(slow(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0, 150));
    NUM(slow(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0, 40));
    NUM(slow(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0, 0, 40));
    NUM(slow(MEMBARRIER_CMD_GLOBAL, 0, 0, 3));
    s->round = INT_MAX;
    pthread_join(t, NULL);
    // Another process that is registered for the global kind (by inheritance).
    memset(s, 0, sizeof *s);
    fflush(stdout);
    pid_t child = MUST(fork());
    if (!child) {
        NUM(call(REGISTRATIONS, 0, 0));
        fflush(stdout);
        quick(NULL);
        execl("/proc/self/exe", argv[0], "exec", NULL);
    }
    NUM(slow(MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0, 30));
    s->round = INT_MAX;
    wait(NULL);
}
