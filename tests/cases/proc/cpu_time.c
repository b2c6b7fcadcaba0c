// CPU times in /proc/PID/stat grow for a busy process, and per thread in task/TID/stat.
#include "../case.h"
static long ticks(const char *path) {
    char *rest = strrchr(get(path), ')');
    long u = 0, s = 0;
    if (rest)
        sscanf(rest + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld", &u, &s);
    return u + s;
}
int main(void) {
    pid_t pid = MUST(fork());
    if (!pid)
        for (;;)
            ;
    char path[64];
    sprintf(path, "/proc/%d/stat", pid);
    int64_t start = now_ms();
    while (ticks(path) < 10 && now_ms() - start < 8000)
        nap(10);
    IS(ticks(path) >= 10);
    say("%c", state_of(pid));
    kill(pid, SIGSTOP);
    int status;
    waitpid(pid, &status, WUNTRACED);
    long before = ticks(path);
    nap(60);
    IS(ticks(path) - before <= 1);
    kill(pid, SIGKILL), reap("busy", pid);
    sprintf(path, "/proc/self/task/%d/stat", gettid());
    IS(ticks(path) >= 0 && ticks(path) < 200);
}
