// Children that end themselves by a call of the host, unknown to the kernel: to their parent they were killed.
#include "hostile.h"
#include <pthread.h>
#define GATE_CALL 0x7e0005000018UL
static void *end_on_the_host(void *number) {
    __asm__ volatile("jmp *%0" ::"r"(GATE_CALL), "a"(number), "D"(0L));
    return NULL;
}
static void *sleep_for_ever(void *arg) {
    stay();
}
static void *spin(void *arg) {
    for (;;)
        ;
}
static int child(int kind, int in, int out) {
    close(in);
    signal(SIGSEGV, SIG_DFL);
    pthread_t thread;
    if (kind == 1)
        pthread_create(&thread, NULL, sleep_for_ever, NULL);
    if (kind == 2)
        pthread_create(&thread, NULL, spin, NULL);
    if (kind > 0)
        usleep(1000);
    write(out, "x", 1);
    end_on_the_host((void *)(long)(kind == 3 ? SYS_exit : SYS_exit_group));
    return 0;
}
int main(int argc, char **argv) {
    ignore_all();
    signal(SIGCHLD, SIG_DFL);
    for (int kind = 0; kind < 4; kind++) {
        int ends[2], status = 0;
        pipe(ends);
        pid_t pid = fork();
        if (!pid)
            _exit(child(kind, ends[0], ends[1]));
        close(ends[1]);
        char byte;
        // The end of the child is the end of its pipe.
        while (read(ends[0], &byte, 1) > 0)
            ;
        close(ends[0]);
        if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status)) {
            printf("child %d: status %#x\n", kind, status);
            return 1;
        }
    }
    ready(argv);
}
