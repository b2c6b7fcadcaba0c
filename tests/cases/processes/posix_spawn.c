// posix_spawn with file actions, a process group, signal mask and defaults.
#include "../case.h"
#include <spawn.h>
extern char **environ;
int main(int argc, char **argv) {
    if (argc > 1) {
        say("standard output goes here");
        IS(getpgrp() == getpid());
        sigset_t set;
        sigprocmask(SIG_BLOCK, NULL, &set);
        NUM(sigismember(&set, SIGUSR1));
        struct sigaction old;
        sigaction(SIGUSR2, NULL, &old);
        IS(old.sa_handler == SIG_DFL);
        IS(fcntl(7, F_GETFD) == 0);
        IS(fcntl(6, F_GETFD) == -1);
        return 4;
    }
    scratch();
    signal(SIGUSR2, SIG_IGN);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    int six = MUST(open("/dev/null", O_RDONLY));
    MUST(dup2(six, 6));
    posix_spawn_file_actions_addopen(&actions, 1, "out", O_WRONLY | O_CREAT | O_TRUNC, 0644);
    posix_spawn_file_actions_adddup2(&actions, 6, 7);
    posix_spawn_file_actions_addclose(&actions, 6);
    posix_spawnattr_t attr;
    posix_spawnattr_init(&attr);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    posix_spawnattr_setsigmask(&attr, &set);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    posix_spawnattr_setsigdefault(&attr, &set);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    pid_t pid;
    char *args[] = {"x", "child", NULL};
    ERR(posix_spawn(&pid, "/proc/self/exe", &actions, &attr, args, environ));
    reap("child", pid);
    say("%s", get("out"));
    ERR(posix_spawn(&pid, "/no/such/program", NULL, NULL, args, environ));
    posix_spawn_file_actions_addclose(&actions, 900);
    posix_spawn_file_actions_adddup2(&actions, 901, 1);
    ERR(posix_spawn(&pid, "/proc/self/exe", &actions, NULL, args, environ));
    NUM(waitpid(-1, NULL, WNOHANG));
}
