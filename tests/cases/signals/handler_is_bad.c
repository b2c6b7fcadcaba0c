// A handler that cannot be entered, or a stack that cannot take the frame, kills with SIGSEGV.
#include "../case.h"
int main(void) {
    pid_t pid = MUST(fork());
    if (!pid) {
        on(SIGUSR1, (void (*)(int))8);
        raise(SIGUSR1);
        _exit(0);
    }
    reap("bad handler", pid);
    pid = MUST(fork());
    if (!pid) {
        stack_t s = {.ss_sp = (void *)0x10000, .ss_size = 65536};
        NUM(sigaltstack(&s, NULL));
        struct sigaction a = {.sa_handler = (void (*)(int))abort, .sa_flags = SA_ONSTACK};
        sigaction(SIGUSR1, &a, NULL);
        raise(SIGUSR1);
        _exit(0);
    }
    reap("bad stack", pid);
    pid = MUST(fork());
    if (!pid) {
        __asm__ volatile("xor %%rsp, %%rsp; mov $15, %%eax; syscall" ::: "rax", "memory");
        _exit(0);
    }
    reap("bad sigreturn", pid);
}
