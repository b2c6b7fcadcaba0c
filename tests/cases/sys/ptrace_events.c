// Events: fork, vfork, clone, exec and exit of a tracee and of those that it makes, as a debugger follows them.
#include "../case.h"
#include <pthread.h>
#include <sys/ptrace.h>
static void *thread(void *a) { return a; }
static int child(void) {
    if (getenv("AGAIN"))
        return 9;
    pid_t pid = fork();
    if (!pid)
        _exit(4);
    waitpid(pid, 0, 0);
    pid = vfork();
    if (!pid)
        _exit(5);
    waitpid(pid, 0, 0);
    pthread_t t;
    pthread_create(&t, 0, thread, 0);
    pthread_join(t, 0);
    char *argv[] = {"again", 0}, *envp[] = {"AGAIN=1", 0};
    execve("/proc/self/exe", argv, envp);
    return 1;
}
int main(void) {
    if (getenv("AGAIN"))
        return 9;
    pid_t first = MUST(fork());
    if (!first) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        _exit(child());
    }
    int status;
    waitpid(first, &status, 0);
    NUM(ptrace(PTRACE_SETOPTIONS, first, 0,
               PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT | PTRACE_O_TRACEVFORKDONE));
    ptrace(PTRACE_CONT, first, 0, 0);
    // Of the first the order is told; of its children, which run beside it, how often what happened.
    int stops = 0, exits[16] = {0}, ends = 0;
    for (;;) {
        pid_t pid = waitpid(-1, &status, __WALL);
        if (pid < 0)
            break;
        unsigned long message = 0;
        int event = WIFSTOPPED(status) ? status >> 16 : 0;
        if (event)
            ptrace(PTRACE_GETEVENTMSG, pid, 0, &message);
        if (pid == first) {
            if (event == PTRACE_EVENT_EXIT)
                say("exit event, status %lu", message >> 8);
            else if (event)
                say("event %d, of a %s", event, event == PTRACE_EVENT_EXEC ? "program" : message > 1 ? "task" : "nobody");
            else if (!WIFSTOPPED(status))
                say_status("first", status);
            else
                say("signal %d", WSTOPSIG(status));
        } else if (event == PTRACE_EVENT_EXIT)
            exits[(message >> 8) & 15]++;
        else if (WIFSTOPPED(status))
            stops += WSTOPSIG(status) == SIGSTOP;
        else
            ends++;
        if (WIFSTOPPED(status)) {
            int signo = event || WSTOPSIG(status) == SIGSTOP || WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
            ptrace(PTRACE_CONT, pid, 0, signo);
        }
    }
    say("%s; the others: %d first stops, exit events %d with 4, %d with 5, %d with 0, %d ends", errname(errno), stops, exits[4], exits[5], exits[0], ends);
}
