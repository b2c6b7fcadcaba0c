// Three hundred short-lived processes, thirty at a time; ids are not reused at once and none is lost.
#include "../case.h"
int main(void) {
    int sum = 0, reaped = 0;
    static pid_t seen[300];
    int n = 0, dup = 0;
    for (int batch = 0; batch < 10; batch++) {
        for (int i = 0; i < 30; i++) {
            pid_t pid = fork();
            if (!pid)
                _exit(i);
            if (pid < 0) {
                say("fork: %s", errname(errno));
                return 1;
            }
            for (int j = 0; j < n; j++)
                dup += seen[j] == pid;
            seen[n++] = pid;
        }
        int status;
        while (wait(&status) > 0)
            reaped++, sum += WEXITSTATUS(status);
    }
    NUM(reaped);
    NUM(sum);
    NUM(dup);
}
