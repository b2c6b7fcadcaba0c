// PTRACE_TRACEME makes the thread that forked the tracer, whichever of its process it is.
#include "../case.h"
#include <sys/ptrace.h>
static pid_t child;
static void *trace(void *unused) {
    child = MUST(fork());
    if (!child) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGTRAP);
        _exit(7);
    }
    int status;
    MUST(waitpid(child, &status, __WALL));
    say_status("child", status);
    NUM(ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_EXITKILL));
    NUM(ptrace(PTRACE_CONT, child, 0, 0));
    reap("child", child);
    return unused;
}
int main(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, trace, NULL);
    pthread_join(thread, NULL);
}
