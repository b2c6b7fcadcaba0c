// The signal frame: alignment, context contents, floating state with its magic numbers, default MXCSR on entry.
#include "../case.h"
#include <ucontext.h>
static void handler(int sig, siginfo_t *i, void *c) {
    ucontext_t *u = c;
    char local __attribute__((aligned(16)));
    IS((uintptr_t)&local % 16 == 0);
    IS((uintptr_t)__builtin_frame_address(0) % 16 == 0);
    IS(u->uc_mcontext.gregs[REG_RSP] - (uintptr_t)c >= 128);
    IS(u->uc_link == NULL);
    IS(((uintptr_t)u->uc_mcontext.fpregs & 63) == 0);
    unsigned *magic = (unsigned *)((char *)u->uc_mcontext.fpregs + 464);
    IS(magic[0] == 0x46505853);
    IS(magic[1] > 512 && *(unsigned *)((char *)u->uc_mcontext.fpregs + magic[1] - 4) == 0x46505845);
    IS(*(unsigned *)((char *)u->uc_mcontext.fpregs + 24) == 0x3f80);
    say("uc_flags %#lx", u->uc_flags & 7);
    say("cs %#llx", u->uc_mcontext.gregs[REG_CSGSFS] & 0xffff);
    IS(!(u->uc_mcontext.gregs[REG_EFL] & 0x100));
    unsigned csr;
    __asm__ volatile("stmxcsr %0" : "=m"(csr));
    say("mxcsr %#x", csr);
    long flags;
    __asm__ volatile("pushfq; pop %0" : "=r"(flags));
    NUM(flags & 0x400);
}
int main(void) {
    struct sigaction a = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &a, NULL);
    unsigned csr = 0x3f80;
    __asm__ volatile("ldmxcsr %0" ::"m"(csr));
    __asm__ volatile("std");
    syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1);
    __asm__ volatile("cld");
    __asm__ volatile("stmxcsr %0" : "=m"(csr));
    say("after: %#x", csr);
}
