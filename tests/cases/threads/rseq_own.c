// A thread registers an area of its own: checks, what is written there, and what a fork, a thread and an execve make of it.
#include "../case.h"
#include <sys/auxv.h>
#define SIG 0x53053053
struct area {
    uint32_t cpu_id_start, cpu_id;
    uint64_t rseq_cs;
    uint32_t flags, node_id, mm_cid, more;
} __attribute__((aligned(32)));
static struct area own;
static long call(void *r, unsigned len, int flags, unsigned sig) { return syscall(SYS_rseq, r, len, flags, sig); }
static void *thread(void *arg) {
    static struct area other;
    NUM(call(&other, 32, 1, SIG));
    NUM(call(&other, 32, 0, SIG));
    IS(other.cpu_id < 1024 && other.rseq_cs == 0);
    return NULL;
}
int main(int argc, char **argv) {
    // The C library is told not to register one (GLIBC_TUNABLES).
    if (argc < 2) {
        setenv("GLIBC_TUNABLES", "glibc.pthread.rseq=0", 1);
        execl("/proc/self/exe", argv[0], "again", NULL);
        _exit(1);
    }
    if (argc < 3) {
        NUM(call((char *)&own + 4, 32, 0, SIG));
        NUM(call(&own, 16, 0, SIG));
        NUM(call(&own, 32, 8, SIG));
        NUM(call((void *)-32, 32, 0, SIG));
        NUM(call(&own, 32, 1, SIG));
        own.rseq_cs = 5;
        own.cpu_id = own.mm_cid = 77777;
        NUM(call(&own, 32, 0, SIG));
        IS(own.cpu_id < 1024 && own.cpu_id == own.cpu_id_start);
        NUM(own.node_id), NUM(own.rseq_cs), IS(own.mm_cid < 1024);
        NUM(call(&own, 32, 0, SIG)), NUM(call(&own, 32, 0, SIG + 1)), NUM(call(&own, 64, 0, SIG));
        NUM(call(&own, 32, 1, SIG + 1)), NUM(call(&own, 64, 1, SIG));
        pthread_t t;
        pthread_create(&t, NULL, thread, NULL);
        pthread_join(t, NULL);
        fflush(stdout);
        if (!MUST(fork())) {
            NUM(call(&own, 32, 0, SIG));
            NUM(call(&own, 32, 1, SIG));
            NUM((int)own.cpu_id), NUM(own.cpu_id_start);
            exit(0);
        }
        wait(NULL);
        NUM(call(&own, 32, 0, SIG));
        fflush(stdout);
        execl("/proc/self/exe", argv[0], "again", "exec", NULL);
    }
    NUM(call(&own, 32, 1, SIG));
    NUM(call(&own, 32, 0, SIG));
    NUM(call(&own, 32, 1, SIG));
    NUM((int)own.cpu_id);
}
