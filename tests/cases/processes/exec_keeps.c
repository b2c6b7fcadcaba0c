// What execve keeps and what it resets: close-on-exec, handlers, ignored signals, mask, pending, ids, cwd.
#include "../case.h"
int main(int argc, char **argv) {
    if (argc > 1) {
        NUM(fcntl(10, F_GETFD));
        NUM(fcntl(11, F_GETFD));
        struct sigaction a;
        sigaction(SIGUSR1, NULL, &a);
        IS(a.sa_handler == SIG_DFL);
        sigaction(SIGUSR2, NULL, &a);
        IS(a.sa_handler == SIG_IGN);
        sigset_t set;
        sigpending(&set);
        NUM(sigismember(&set, SIGHUP));
        sigprocmask(SIG_BLOCK, NULL, &set);
        NUM(sigismember(&set, SIGHUP));
        IS(getpid() == atoi(argv[1]));
        IS(getppid() == atoi(argv[2]));
        NUM(access("here", F_OK));
        say("umask %03o", umask(0));
        stack_t stack;
        sigaltstack(NULL, &stack);
        IS(stack.ss_flags == SS_DISABLE);
        NUM(alarm(0) > 0);
        struct rlimit limit;
        getrlimit(RLIMIT_NOFILE, &limit);
        NUM(limit.rlim_cur);
        return 0;
    }
    scratch();
    put("here", "");
    MUST(dup2(1, 10));
    MUST(dup3(1, 11, O_CLOEXEC));
    on(SIGUSR1, (void (*)(int))abort);
    signal(SIGUSR2, SIG_IGN);
    mask(SIG_BLOCK, SIGHUP);
    raise(SIGHUP);
    umask(055);
    static char alternate[16384];
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    MUST(sigaltstack(&stack, NULL));
    alarm(1000);
    struct rlimit limit = {100, 200};
    MUST(setrlimit(RLIMIT_NOFILE, &limit));
    char a[16], b[16];
    sprintf(a, "%d", getpid());
    sprintf(b, "%d", getppid());
    execl("/proc/self/exe", "x", a, b, NULL);
}
