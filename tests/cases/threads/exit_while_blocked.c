// A process whose threads are blocked in reads, locks, sleeps and waits ends at once by exit and by a signal.
#include "../case.h"
#include <sys/file.h>
static int p[2];
static void *block(void *arg) {
    char c;
    struct pollfd w = {p[0], POLLIN};
    switch ((long)arg) {
    case 0:
        read(p[0], &c, 1);
        break;
    case 1:
        poll(&w, 1, -1);
        break;
    case 2:
        nap(100000);
        break;
    case 3: {
        pid_t pid = fork();
        if (!pid)
            pause();
        waitpid(pid, NULL, 0);
        break;
    }
    case 4: {
        int e = epoll_create1(0);
        epoll_wait(e, &(struct epoll_event){0}, 1, -1);
        break;
    }
    case 5:
        pause();
    }
    return NULL;
}
int main(void) {
    for (int way = 0; way < 3; way++) {
        int64_t start = now_ms();
        pid_t pid = MUST(fork());
        if (!pid) {
            setpgid(0, 0);
            MUST(pipe(p));
            pthread_t t;
            for (long i = 0; i < 6; i++)
                pthread_create(&t, NULL, block, (void *)i);
            nap(50);
            if (way == 0)
                exit(7);
            if (way == 1)
                abort();
            pause();
        }
        if (way == 2)
            nap(100), kill(pid, SIGTERM);
        reap("process", pid);
        IS(now_ms() - start < 5000);
        kill(-pid, SIGKILL);
    }
}
