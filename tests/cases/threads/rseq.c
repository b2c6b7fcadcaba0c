// Restartable sequences are registered by the C library, and a second registration is refused.
#include "../case.h"
#include <sys/rseq.h>
int main(void) {
    IS(__rseq_size > 0);
    struct rseq *r = (void *)((char *)__builtin_thread_pointer() + __rseq_offset);
    IS((int)r->cpu_id >= 0);
    static char other[64] __attribute__((aligned(32)));
    NUM(syscall(SYS_rseq, other, 32, 0, RSEQ_SIG));
    NUM(syscall(SYS_rseq, other, 32, 1, RSEQ_SIG));
    NUM(syscall(SYS_rseq, r, 32, 4, RSEQ_SIG));
}
