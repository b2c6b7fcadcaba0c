// SIGFPE, SIGILL and SIGTRAP: code and address point at the instruction.
#include "../case.h"
#include <setjmp.h>
#include <ucontext.h>
#include <fenv.h>
static sigjmp_buf back;
static siginfo_t got;
static unsigned long rip, trap;
static void handler(int sig, siginfo_t *i, void *c) {
    got = *i;
    ucontext_t *u = c;
    rip = u->uc_mcontext.gregs[REG_RIP], trap = u->uc_mcontext.gregs[REG_TRAPNO];
    siglongjmp(back, 1);
}
#define FAULT(name, access)                                                                                        \
    do {                                                                                                           \
        if (!sigsetjmp(back, 1)) {                                                                                 \
            access;                                                                                                \
            say("%s: no fault", name);                                                                             \
        } else                                                                                                     \
            say("%s: signal %d code %d address %s trap %lu", name, got.si_signo, got.si_code,                      \
                got.si_addr == (void *)rip ? "of the instruction" : got.si_addr ? "other" : "0", trap);            \
    } while (0)
int main(void) {
    struct sigaction a = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGFPE, &a, NULL);
    sigaction(SIGILL, &a, NULL);
    sigaction(SIGTRAP, &a, NULL);
    sigaction(SIGSEGV, &a, NULL);
    volatile int zero = 0, one = 1, least = INT_MIN, minus = -1;
    volatile int result;
    FAULT("divide by zero", result = one / zero);
    FAULT("divide overflow", result = least / minus);
    FAULT("ud2", __asm__ volatile("ud2"));
    FAULT("int3", __asm__ volatile("int3"));
    unsigned csr = 0x1f80 & ~0x200;
    volatile double dz = 0, done = 1, dresult;
    FAULT("floating divide by zero", __asm__ volatile("ldmxcsr %0" ::"m"(csr)); dresult = done / dz);
    csr = 0x1f80;
    __asm__ volatile("ldmxcsr %0" ::"m"(csr));
    unsigned short cw = 0x37b;
    FAULT("x87 divide by zero", __asm__ volatile("fldcw %0; fld1; fldz; fdivrp; fwait" ::"m"(cw)));
    __asm__ volatile("fninit");
    FAULT("single step", __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq; nop" ::: "memory", "cc"));
    (void)result, (void)dresult;
}
