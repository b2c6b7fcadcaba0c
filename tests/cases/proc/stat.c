// /proc/self/stat: fields that can be checked against calls; a name with spaces and brackets.
#include "../case.h"
#include <sys/prctl.h>
int main(void) {
    prctl(PR_SET_NAME, "a) (b c");
    char *text = get("/proc/self/stat");
    IS(atoi(text) == getpid());
    IS(strstr(text, "(a) (b c)") != NULL);
    char *rest = strrchr(text, ')') + 2;
    char state;
    int ppid, pgrp, session, tty, tpgid;
    long f[60];
    int n = 0;
    sscanf(rest, "%c %d %d %d %d %d", &state, &ppid, &pgrp, &session, &tty, &tpgid);
    for (char *p = strtok(rest + 2, " "); p; p = strtok(NULL, " "))
        f[n++] = atol(p);
    say("state %c, %d fields", state, n + 3);
    IS(ppid == getppid() && pgrp == getpgrp() && session == getsid(0));
    IS(f[16] == 1);
    IS(f[14] == 20 && f[15] == 0);
    IS(f[19] > 0 && f[20] > 0);
    IS(f[34] == SIGCHLD);
    for (int i = 0; i < 50; i++)
        f[i] = 0;
    pid_t pid = MUST(fork());
    if (!pid)
        for (;;)
            pause();
    wait_asleep(pid);
    say("%c", state_of(pid));
    kill(pid, SIGSTOP);
    int status;
    waitpid(pid, &status, WUNTRACED);
    say("%c", state_of(pid));
    kill(pid, SIGKILL);
    reap("child", pid);
    say("%c", state_of(pid));
}
