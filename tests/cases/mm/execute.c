// Code written to memory runs when it may, faults when it may not, and changes are seen.
#include "../case.h"
#include <setjmp.h>
static sigjmp_buf back;
static void handler(int sig) { siglongjmp(back, 1); }
int main(void) {
    on(SIGSEGV, handler);
    unsigned char *code = MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    unsigned char text[] = {0xb8, 7, 0, 0, 0, 0xc3};
    memcpy(code, text, sizeof text);
    int (*run)(void) = (void *)code;
    if (!sigsetjmp(back, 1))
        NUM(run());
    else
        say("not executable");
    NUM(mprotect(code, 4096, PROT_READ | PROT_EXEC));
    NUM(run());
    if (!sigsetjmp(back, 1))
        code[1] = 9;
    else
        say("not writable");
    NUM(mprotect(code, 4096, PROT_READ | PROT_WRITE | PROT_EXEC));
    code[1] = 9;
    NUM(run());
    for (int i = 0, bad = 0; i < 1000; i++) {
        code[1] = i & 127;
        bad += run() != (i & 127);
        if (i == 999)
            NUM(bad);
    }
    // A system call instruction written at run time works, also when the memory is then used for other code.
    unsigned char call[] = {0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3};
    memcpy(code, call, sizeof call);
    for (int i = 0; i < 3; i++)
        IS(run() == getpid());
    memset(code, 0x90, 64);
    memcpy(code + 64, text, sizeof text);
    NUM(run());
    memcpy(code, call, sizeof call);
    code[1] = 110;
    IS(run() == getppid());
    pid_t pid = MUST(fork());
    if (!pid)
        _exit(run() == getppid() ? 3 : 4);
    reap("child", pid);
}
