// A handler changes registers and the mask in its context; they hold after its return.
#include "../case.h"
#include <ucontext.h>
static void handler(int sig, siginfo_t *i, void *c) {
    ucontext_t *u = c;
    if (sig == SIGILL)
        u->uc_mcontext.gregs[REG_RIP] += 2;
    u->uc_mcontext.gregs[REG_RBX] = 0x1234567890;
    u->uc_mcontext.gregs[REG_R15] += 5;
    sigaddset(&u->uc_sigmask, SIGUSR2);
    u->uc_mcontext.fpregs->_xmm[3].element[0] = 99;
}
int main(void) {
    struct sigaction a = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGILL, &a, NULL);
    long rbx, r15, xmm;
    __asm__ volatile("mov $1, %%rbx; mov $10, %%r15; pcmpeqd %%xmm3, %%xmm3; ud2; mov %%rbx, %0; mov %%r15, %1; movd %%xmm3, %k2"
                     : "=&r"(rbx), "=&r"(r15), "=&r"(xmm)
                     :
                     : "rbx", "r15", "xmm3");
    say("%lx %ld %ld", rbx, r15, xmm & 0xffffffff);
    sigset_t set;
    sigprocmask(SIG_BLOCK, NULL, &set);
    NUM(sigismember(&set, SIGUSR2));
}
