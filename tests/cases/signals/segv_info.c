// SIGSEGV: address and code for unmapped, protected, read-only and non-canonical accesses, and for a jump.
#include "../case.h"
#include <setjmp.h>
#include <ucontext.h>
static sigjmp_buf back;
static siginfo_t got;
static long trap, error;
static void handler(int sig, siginfo_t *i, void *c) {
    got = *i;
    ucontext_t *u = c;
    trap = u->uc_mcontext.gregs[REG_TRAPNO], error = u->uc_mcontext.gregs[REG_ERR];
    siglongjmp(back, 1);
}
#define FAULT(name, access, where)                                                                                 \
    do {                                                                                                           \
        if (!sigsetjmp(back, 1)) {                                                                                 \
            access;                                                                                                \
            say("%s: no fault", name);                                                                             \
        } else                                                                                                     \
            say("%s: signal %d code %d address %s trap %ld error %ld", name, got.si_signo, got.si_code,            \
                got.si_addr == (void *)(where) ? "right" : "wrong", trap, error);                                  \
    } while (0)
int main(void) {
    struct sigaction a = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &a, NULL);
    sigaction(SIGBUS, &a, NULL);
    volatile char *none = MUST(mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    volatile char *ro = MUST(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    volatile char *rw = MUST(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    MUST(munmap((void *)(rw + 4096), 4096));
    rw[0] = 1;
    FAULT("null read", *(volatile char *)(uintptr_t)0, 0);
    FAULT("null write", *(volatile char *)(uintptr_t)16 = 1, 16);
    FAULT("none read", none[100], none + 100);
    FAULT("none write", none[4100] = 1, none + 4100);
    (void)ro[0];
    FAULT("read-only write", ro[7] = 1, ro + 7);
    FAULT("unmapped after a page", *(volatile long *)(rw + 4092) = 1, rw + 4096);
    FAULT("non-canonical", *(volatile char *)0x8000000000000000UL = 1, 0);
    FAULT("jump to data", ((void (*)(void))rw)(), rw);
    FAULT("jump to null", ((void (*)(void))(uintptr_t)0)(), 0);
    FAULT("kernel's half", *(volatile char *)0xffffffff80000000UL = 1, 0xffffffff80000000UL);
    scratch();
    put("f", "x");
    int fd = MUST(open("f", O_RDWR));
    volatile char *file = MUST(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    FAULT("behind the file's end", file[4096] = 1, file + 4096);
    FAULT("privileged instruction", __asm__ volatile("hlt"), 0);
    FAULT("port access", __asm__ volatile("outb %%al, %%dx" ::"a"(0), "d"(0x80)), 0);
    FAULT("int 0x21", __asm__ volatile("int $0x21"), 0);
}
