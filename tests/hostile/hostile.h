// Guests that try to outlive their tender. They are never run natively: they would do to the host what they try.
// With the argument "exit" the first process ends after it said "ready"; with "stay" it is killed from outside.
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void ignore_all(void) {
    for (int sig = 1; sig < 65; sig++)
        signal(sig, SIG_IGN);
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
}

__attribute__((noreturn)) static void stay(void) {
    for (;;)
        pause();
}

// Says that all is set up, and ends or stays as the argument says.
__attribute__((noreturn)) static void ready(char **argv) {
    write(1, "ready\n", 6);
    if (!strcmp(argv[1], "exit"))
        _exit(0);
    stay();
}
