// Jumps into the gate page, at every byte of it, with registers set up for calls of the host; reads and writes it.
// The gate is the one place whose instruction pointer may make host calls, so each jump is an attempt to make one
// with arguments of the guest's choice.
//= timeout 60
#include "hostile.h"
enum { GATE_LOW = 0x05000000 };
#define GATE (0x7e0000000000UL + GATE_LOW)
static char stack[65536];
static void jump(unsigned long to, long number, long a, long b, long c) {
    register long r10 __asm__("r10") = 0, r8 __asm__("r8") = -1, r9 __asm__("r9") = 0;
    __asm__ volatile("mov %0, %%rsp\n push $0\n jmp *%1" ::"r"(stack + 65000), "r"(to), "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    __builtin_unreachable();
}
int main(int argc, char **argv) {
    ignore_all();
    // A parent that ignores SIGCHLD waits until it has no child left.
    signal(SIGCHLD, SIG_DFL);
    long numbers[] = {SYS_fork, SYS_clone, SYS_execve, SYS_kill, SYS_socket, SYS_open, SYS_ptrace, SYS_mprotect, SYS_setsid, SYS_exit};
    int children = 0;
    for (unsigned long at = GATE; at < GATE + 256; at++) {
        pid_t pid = fork();
        if (!pid) {
            close(1);
            signal(SIGSEGV, SIG_DFL), signal(SIGILL, SIG_DFL), signal(SIGSYS, SIG_DFL), signal(SIGALRM, SIG_DFL);
            sigset_t none;
            sigemptyset(&none);
            sigprocmask(SIG_SETMASK, &none, NULL);
            alarm(1);
            jump(at, numbers[at % 10], at % 2 ? -1 : 0x11, SIGKILL, 0);
        }
        children += pid > 0;
        while (waitpid(-1, NULL, WNOHANG) > 0)
            children--;
        if (children > 30) {
            waitpid(-1, NULL, 0);
            children--;
        }
    }
    for (unsigned long at = 0x7e0000000000UL; at < 0x7e0008000000UL; at += 0x100000) {
        pid_t pid = fork();
        if (!pid) {
            signal(SIGSEGV, SIG_DFL);
            memset((void *)at, 0xcc, 64);
            _exit(0);
        }
        waitpid(pid, NULL, WNOHANG);
    }
    ready(argv);
}
