// Each process starts the next, forty deep, and passes the count back by its exit status.
#include "../case.h"
static int down(int depth) {
    if (depth == 40)
        return 1;
    pid_t pid = fork();
    if (pid < 0)
        return 0;
    if (!pid)
        _exit(down(depth + 1));
    int status;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) + 1 : 0;
}
int main(void) {
    NUM(down(0));
}
