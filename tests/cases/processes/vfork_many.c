// Many threads vfork and execute at once; every status comes home.
#include "../case.h"
static void *work(void *arg) {
    long good = 0;
    for (int i = 0; i < 15; i++) {
        pid_t pid = vfork();
        if (!pid) {
            execl("/proc/self/exe", "x", "child", NULL);
            _exit(99);
        }
        int status = 0;
        waitpid(pid, &status, 0);
        good += WIFEXITED(status) && WEXITSTATUS(status) == 17;
    }
    return (void *)good;
}
int main(int argc, char **argv) {
    if (argc > 1)
        return 17;
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, work, NULL);
    for (int i = 0; i < 4; i++) {
        void *r;
        pthread_join(t[i], &r);
        NUM((long)r);
    }
}
